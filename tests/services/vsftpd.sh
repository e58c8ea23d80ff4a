# vsftpd, unpacked by tests/setup.sh: Debian lets only one FTP server be installed. System user
# `svcftp` with the usual password and a home in DIR/home; `locked` may not write;
# `small` lives on a disk of 6 MiB.
# PORT: plain and explicit TLS; a transfer must take up the TLS session of its connection.
# PORT+1: the same without that demand. PORT+2: neither deletes nor EPSV.
# PORT+16 to PORT+63: passive ports.
start() {
    local vsftpd=/var/cache/nxs-backup-tests/vsftpd/usr/sbin/vsftpd
    [ -x "$vsftpd" ] || vsftpd=$(command -v vsftpd) || { echo "no vsftpd: run tests/setup.sh" >&2; return 1; }
    tls
    mkdir -p "$DIR/empty" "$DIR/locked"
    user svcftp 61003 "$DIR/home" /bin/sh
    user locked 61004 "$DIR/locked" /bin/sh
    chown root:root "$DIR/locked"
    mkdir -p "$DIR/small"
    mountpoint -q "$DIR/small" || mount -t tmpfs -o size=6m,mode=755 none "$DIR/small"
    user small 61005 "$DIR/small" /bin/sh
    vsftpd_conf "$PORT" "require_ssl_reuse=YES" >"$DIR/strict.conf"
    vsftpd_conf "$(at 1)" "require_ssl_reuse=NO" >"$DIR/loose.conf"
    vsftpd_conf "$(at 2)" "cmds_denied=DELE,RMD,EPSV" >"$DIR/keeper.conf"
    for name in strict loose keeper; do
        # It says what is wrong with its config on its standard input.
        run "$name" sh -c 'exec "$0" "$1" 0>>"$2"' "$vsftpd" "$DIR/$name.conf" "$DIR/$name.oops.log"
    done
    wait_for 10 open "$PORT" && wait_for 10 open "$(at 1)" && wait_for 10 open "$(at 2)"
}

vsftpd_conf() {
    cat <<C
listen=YES
listen_ipv6=NO
listen_address=127.0.0.1
listen_port=$1
background=NO
anonymous_enable=NO
local_enable=YES
write_enable=YES
local_umask=022
pam_service_name=other
secure_chroot_dir=$DIR/empty
pasv_enable=YES
pasv_min_port=$(at 16)
pasv_max_port=$(at 63)
connect_from_port_20=NO
seccomp_sandbox=NO
xferlog_enable=YES
vsftpd_log_file=$DIR/vsftpd.log
ssl_enable=YES
rsa_cert_file=$DIR/tls/server.crt
rsa_private_key_file=$DIR/tls/server.key
force_local_data_ssl=NO
force_local_logins_ssl=NO
ssl_ciphers=HIGH
max_per_ip=0
$2
C
}
