#!/usr/bin/env bash
# Installs what building and testing needs on Debian, if it is not there yet. Safe to run again.
set -euo pipefail

# command:package
needs=(
    cc:gcc
    make:make
    perl:perl
    tar:tar
    gzip:gzip
    pigz:pigz
    zstd:zstd
    getfacl:acl
    getfattr:attr
    diff:diffutils
    script:bsdutils
    # Shells that completions are parsed in, and the reader of manual pages.
    zsh:zsh
    fish:fish
    man:man-db
    # Packages and images.
    lintian:lintian
    rpm:rpm
    mmdebstrap:mmdebstrap
    buildah:buildah
    systemd-analyze:systemd
    logrotate:logrotate
    setpriv:util-linux
    mount:mount
    unshare:util-linux
    openssl:openssl
    curl:curl
    # Servers that storages are tested against, and their stock clients.
    sshd:openssh-server
    sftp:openssh-client
    proftpd:proftpd-core
    lftp:lftp
    smbd:samba
    smbclient:smbclient
    ganesha.nfsd:nfs-ganesha
    nfs-cp:libnfs-utils
    rpcbind:rpcbind
    apache2:apache2
    htpasswd:apache2-utils
    nginx:nginx
    swift-proxy-server:swift-proxy
    swift-account-server:swift-account
    swift-container-server:swift-container
    swift-object-server:swift-object
    swift:python3-swiftclient
    memcached:memcached
    keystone-manage:keystone
    radosgw:radosgw
    ceph-mon:ceph-mon
    ceph-osd:ceph-osd
    ceph:ceph-common
    rclone:rclone
    # Servers that sources are tested against, and their tools.
    # mysql
    mariadbd:mariadb-server
    mariadb-dump:mariadb-client
    mariadb-backup:mariadb-backup
    mmdebstrap:mmdebstrap
    # postgresql
    psql:postgresql
    pg_ctlcluster:postgresql
    # mongodb, redis, sqlite
    redis-server:redis-server
    redis-cli:redis-tools
    sqlite3:sqlite3
    mmdebstrap:mmdebstrap
    npm:npm
    /usr/lib/python3/dist-packages/pymongo:python3-pymongo
    /usr/lib/python3/dist-packages/bson:python3-bson
    /usr/lib/python3/dist-packages/psycopg:python3-psycopg
    # external, command
    etcd:etcd-server
    etcdctl:etcd-client
    # Those that hear of runs: a mail server, and what checks figures and rules for Prometheus.
    exim4:exim4-daemon-light
    promtool:prometheus
    python3:python3
    /usr/lib/python3/dist-packages/yaml:python3-yaml
    # What has no command is known by a file.
    /usr/lib/proftpd/mod_tls.so:proftpd-mod-crypto
    /usr/lib/nginx/modules/ngx_http_dav_ext_module.so:libnginx-mod-http-dav-ext
    /usr/lib/$(uname -m)-linux-gnu/ganesha/libfsalvfs.so:nfs-ganesha-vfs
)

PATH=$PATH:/usr/sbin:/sbin
missing=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || [ -e "${need%%:*}" ] || missing+=("${need#*:}")
done
# A compiler without the headers of libc is of no use.
if [ ! -e /usr/include/stdio.h ]; then missing+=(libc6-dev); fi
# Debian lets only one FTP server be installed; the other is unpacked here, where its test finds it.
unpacked=/var/cache/nxs-backup-tests/vsftpd
if [ ${#missing[@]} -eq 0 ] && [ -x "$unpacked/usr/sbin/vsftpd" ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
    echo "tests/setup.sh: these are missing and there is no apt-get: ${missing[*]} vsftpd" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "tests/setup.sh: run as root, or with a sudo that asks nothing: apt-get install ${missing[*]:-nothing, but unpack vsftpd}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
unpack_vsftpd() {
    local folder
    folder=$(mktemp -d)
    (cd "$folder" && apt-get download -q -o APT::Sandbox::User=root vsftpd && dpkg -x vsftpd_*.deb files) || return 1
    "${as_root[@]}" rm -rf "$unpacked"
    "${as_root[@]}" mkdir -p "${unpacked%/*}"
    "${as_root[@]}" mv "$folder/files" "$unpacked"
    "${as_root[@]}" chown -R 0:0 "$unpacked"
    rm -rf "$folder"
}
# Servers that are installed for tests must not start by themselves.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
install_all() {
    if [ ${#missing[@]} -ne 0 ]; then "${install[@]}" "${missing[@]}" || return 1; fi
    [ -x "$unpacked/usr/sbin/vsftpd" ] || unpack_vsftpd
}
# The lists of a fresh machine are empty or old; try without the update first, it is slow.
install_all >/dev/null 2>&1 || {
    "${as_root[@]}" apt-get update -q
    install_all
}
