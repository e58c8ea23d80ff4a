# Shared by the tests of packages: a bare Debian to install into, and the life of a user in it.

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# As grep, without a word, and to the end: who writes to one that has left gets a signal, which counts.
has() { grep "$@" >/dev/null; }

# Prints the archive of a bare Debian 12, made once.
bare_debian() {
    local cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nxs-backup-ci archive
    archive=$cache/debian-bookworm.tar
    if [ ! -s "$archive" ]; then
        mkdir -p "$cache"
        mmdebstrap --quiet --variant=apt bookworm "$archive.part" >&2 || return 1
        mv "$archive.part" "$archive"
    fi
    echo "$archive"
}

# Unpacks it into a new folder, $root, which goes at the end of the script.
new_root() {
    local archive
    archive=$(bare_debian) || fail "no bare Debian could be made"
    root=$(mktemp -d /var/tmp/nxs-root-XXXXXX)
    trap 'umount -q "$root/proc" || true; rm -rf --one-file-system "$root"' EXIT
    tar -xpf "$archive" -C "$root"
    mount -t proc proc "$root/proc"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
}

in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"; }

# What a new user does: a name, one generated job, a backup, and back again.
first_backup() {
    in_root sed -i "s/server_name: ''  .*/server_name: web1/" /etc/nxs-backup/nxs-backup.conf
    in_root nxs-backup generate --type desc_files --storage local --path /etc/nxs-backup/conf.d/docs.conf
    in_root sed -i "s|^    - ''  .*|    - /usr/share/doc/nxs-backup|; s/PROJECT/docs/" /etc/nxs-backup/conf.d/docs.conf
    in_root nxs-backup check
    in_root nxs-backup start all || fail "the backup failed"
    in_root nxs-backup list | has /usr/share/doc/nxs-backup || fail "the backup is not listed"
    in_root nxs-backup restore all --to /tmp/back
    diff -r "$root/usr/share/doc/nxs-backup" "$root/tmp/back/usr/share/doc/nxs-backup" || fail "what came back differs"
}

# mode PATH: its octal mode, in the root.
mode() { stat -c %a "$root$1"; }
