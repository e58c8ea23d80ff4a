#!/usr/bin/env bash
# The container images: built by buildah on a bare Debian, since no registry can be assumed, around
# the program that is given, small and full; run as root and as any user. Argument: the program.
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")"
. ./lib.sh

work=$(mktemp -d /var/tmp/nxs-image-XXXXXX)
export CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot TMPDIR=$work
printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/graph"\n' "$work" "$work" >"$CONTAINERS_STORAGE_CONF"
trap 'buildah rm --all >/dev/null 2>&1 || true; rm -rf --one-file-system "$work"' EXIT

# The base and the program as local images.
base=$(buildah from scratch)
buildah add -q "$base" "$(bare_debian)" / >/dev/null
buildah copy -q "$base" /etc/resolv.conf /etc/resolv.conf >/dev/null
buildah commit -q --rm "$base" localhost/debian:12 >/dev/null
made=$(buildah from scratch)
buildah copy -q --chmod 755 "$made" "$program" /nxs-backup >/dev/null
buildah commit -q --rm "$made" localhost/program:latest >/dev/null

# Without the stage that compiles: that is `cargo build`, which the other tests have done.
awk '/^FROM \$\{BUILD_IMAGE\}/ {skip = 1} /^FROM \$\{PROGRAM\}/ {skip = 0} !skip' ../../packaging/docker/Dockerfile >"$work/Dockerfile"
build() {
    buildah bud -q --pull-never --build-arg BASE_IMAGE=localhost/debian:12 --build-arg PROGRAM=localhost/program:latest \
        --target "$1" -t "nxs-backup:$1" -f "$work/Dockerfile" "$work" || fail "the image $1 cannot be built"
}

mkdir -p "$work/config/conf.d" "$work/data" "$work/store"
printf 'main: {server_name: !env SERVER, state_dir: /var/lib/nxs-backup}\njobs: !include [conf.d/*.conf]\n' >"$work/config/nxs-backup.conf"
printf -- '- {job: data, type: desc_files, sources: [{target: [/data]}], storages: [{storage: local, backup_dir: /store, store: {days: 2}}]}\n' >"$work/config/conf.d/data.conf"
echo precious >"$work/data/file"
chmod -R a+rX "$work/config" "$work/data"
chmod 777 "$work/store"

try() { # image user
    local box
    box=$(buildah from --pull-never "localhost/nxs-backup:$1")
    run() {
        buildah run --isolation chroot --user "$user" -e SERVER=box -v "$work/config:/etc/nxs-backup:ro" -v "$work/data:/data:ro" \
            -v "$work/store:/store" "$box" -- nxs-backup "$@"
    }
    local user=$2
    run check || fail "$1 as $2: check"
    run start all || fail "$1 as $2: start"
    run restore all --to - | tar -xO data/file | has -x precious || fail "$1 as $2: what came back differs"
    [ "$1" = small ] || buildah run --isolation chroot "$box" -- sh -c 'mariadb-dump --version && pg_dump --version && redis-cli --version' >/dev/null || fail "a client is missing"
    rm -rf "$work/store"/* "$work/store"/.nxs-backup.json
    buildah rm "$box" >/dev/null
}

build small
try small 0
try small 4711

# The example for Kubernetes: its arguments and its mounts, with a config that is two files.
job() { # PYTHON EXPRESSION of the container `c`
    /usr/bin/python3 -c 'import sys, yaml
j = yaml.safe_load(open("../../packaging/kubernetes/cronjob.yaml"))
s = j["spec"]["jobTemplate"]["spec"]["template"]["spec"]
c = s["containers"][0]
named = {v["name"] for v in s["volumes"]}
assert j["kind"] == "CronJob" and j["spec"]["concurrencyPolicy"] == "Forbid" and named == {m["name"] for m in c["volumeMounts"]}
print('"$1"')' || fail "the example for Kubernetes is broken"
}
read -ra arguments <<<"$(job '*c["args"]')"
mounts=()
while read -r name path mode; do
    case $name in
    config) from=$work/config ;;
    data) from=$work/data ;;
    state) from=$work/state && mkdir -p "$from/store" && chmod -R 777 "$from" ;;
    *) fail "nobody knows what the example mounts as $name" ;;
    esac
    mounts+=(-v "$from:$path:$mode")
done <<<"$(job '*(m["name"] + " " + m["mountPath"] + " " + ("ro" if m.get("readOnly") else "rw") for m in c["volumeMounts"]), sep="\n"')"
sed -i 's|backup_dir: /store|backup_dir: /var/lib/nxs-backup/store|' "$work/config/conf.d/data.conf"
pod=$(buildah from --pull-never localhost/nxs-backup:small)
buildah run --isolation chroot --user 4711 -e SERVER=pod "${mounts[@]}" "$pod" -- nxs-backup "${arguments[@]}" || fail "the example for Kubernetes: the run failed"
find "$work/state/store" -name '*.manifest.json' | has . || fail "the example for Kubernetes: nothing is stored"
buildah rm "$pod" >/dev/null
sed -i 's|backup_dir: /var/lib/nxs-backup/store|backup_dir: /store|' "$work/config/conf.d/data.conf"

build full
try full 4711
echo "image: built and run as root, as user 4711 and as in the example for Kubernetes"
