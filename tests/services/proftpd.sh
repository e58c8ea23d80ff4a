# ProFTPD. User `svcftp` with the usual password and a home in DIR/home; `odd` has a password with
# every awkward character (DIR/odd.password); `small` lives on a disk of 6 MiB; `reader` may
# neither write nor delete; `keeper` may write and not delete.
# PORT: plain. PORT+1: explicit TLS, demanded. PORT+2: implicit TLS. PORT+3: plain, replaces no
# file and resumes none. PORT+4: explicit TLS 1.3 alone. PORT+5: plain, 2 connections.
# PORT+16 to PORT+63: passive ports.
start() {
    mkdir -p "$DIR/home" "$DIR/small" "$DIR/odd" "$DIR/modules"
    tls
    mountpoint -q "$DIR/small" || mount -t tmpfs -o size=6m,mode=755 none "$DIR/small"
    printf '%s' "it's \"odd\" \$HOME \\ %41 #1:@/;&|" >"$DIR/odd.password"
    ftp_user svcftp "$PASSWORD" "$DIR/home"
    ftp_user odd "$(cat "$DIR/odd.password")" "$DIR/odd"
    ftp_user small "$PASSWORD" "$DIR/small"
    ftp_user reader "$PASSWORD" "$DIR/home"
    ftp_user keeper "$PASSWORD" "$DIR/home"
    chown 65534:65534 "$DIR/home" "$DIR/small" "$DIR/odd" "$DIR/passwd"
    chmod 600 "$DIR/passwd"
    proftpd_conf >"$DIR/proftpd.conf"
    run proftpd /usr/sbin/proftpd -n -c "$DIR/proftpd.conf"
    for number in 0 1 2 3 4 5; do wait_for 10 open "$(at $number)" || return 1; done
}

ftp_user() {
    grep -qs "^$1:" "$DIR/passwd" && return 0
    printf '%s\n' "$2" | ftpasswd --stdin --passwd --name="$1" --uid=65534 --gid=65534 --home="$3" \
        --shell=/bin/sh --file="$DIR/passwd" --sha512 >>"$DIR/ftpasswd.log" 2>&1
}

proftpd_conf() {
    cat <<C
LoadModule mod_tls.c
ServerName svc
ServerType standalone
DefaultAddress 127.0.0.1
SocketBindTight on
Port $PORT
UseIPv6 off
WtmpLog off
User nobody
Group nogroup
PidFile $DIR/proftpd.pidfile
ScoreboardFile $DIR/scoreboard
DelayTable none
SystemLog $DIR/proftpd.log
TransferLog none
MaxInstances 100
UseReverseDNS off
TimesGMT on
$(server_conf)
AllowOverwrite on
AllowStoreRestart on
C
    virtual 1 "AllowOverwrite on" "AllowStoreRestart on" "$(tls_conf TLSv1.2 TLSv1.3)"
    virtual 2 "AllowOverwrite on" "AllowStoreRestart on" "$(tls_conf TLSv1.2 TLSv1.3)" \
        "TLSOptions UseImplicitSSL"
    virtual 3 "AllowOverwrite off" "AllowStoreRestart off"
    virtual 4 "AllowOverwrite on" "$(tls_conf TLSv1.3)"
    virtual 5 "AllowOverwrite on" "MaxClientsPerUser 2"
}

server_conf() {
    cat <<C
AuthOrder mod_auth_file.c
AuthUserFile $DIR/passwd
RequireValidShell off
PassivePorts $(at 16) $(at 63)
DefaultRoot ~
<Directory />
  <Limit WRITE>
    DenyUser reader
  </Limit>
  <Limit DELE RMD>
    DenyUser keeper
  </Limit>
</Directory>
C
}

virtual() {
    echo "<VirtualHost 127.0.0.1>"
    echo "Port $(at "$1")"
    server_conf
    shift
    printf '%s\n' "$@"
    echo "</VirtualHost>"
}

tls_conf() {
    cat <<C
TLSEngine on
TLSRequired on
TLSProtocol $*
TLSECCertificateFile $DIR/tls/server.crt
TLSECCertificateKeyFile $DIR/tls/server.key
TLSVerifyClient off
C
}
