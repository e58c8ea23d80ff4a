#!/usr/bin/env bash
# Installs what building and testing needs on Debian, if it is not there yet. Safe to run again.
set -euo pipefail

# command:package
needs=(
    cc:gcc
    tar:tar
    gzip:gzip
    pigz:pigz
    zstd:zstd
    getfacl:acl
    getfattr:attr
    diff:diffutils
    script:bsdutils
    setpriv:util-linux
    mount:mount
)

missing=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
done
# A compiler without the headers of libc is of no use.
if [ ! -e /usr/include/stdio.h ]; then missing+=(libc6-dev); fi
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
    echo "tests/setup.sh: these are missing and there is no apt-get: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "tests/setup.sh: run as root, or with a sudo that asks nothing: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
# The lists of a fresh machine are empty or old; try without the update first, it is slow.
"${install[@]}" "${missing[@]}" >/dev/null 2>&1 || {
    "${as_root[@]}" apt-get update -q
    "${install[@]}" "${missing[@]}"
}
