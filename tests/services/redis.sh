# Redis. The default user takes the password `svcpw`.
#   PORT    plain; PORT+1 TLS of the same server; DIR/main/socket
#           users: `replica` only what a copy needs, `old` SYNC and not PSYNC, `nothing` no copy at
#           all, `odd` as `replica` with the password in DIR/odd_password
#   PORT+2  no password, copies by way of its disk, so that their length is known; PORT+3 TLS of
#           it, which wants a certificate of the client: DIR/tls/client.{crt,key}
#   PORT+4  no password, makes no checksums
#   PORT+5  `restored`: started by that command on DIR/restored/dump.rdb
start() {
    tls
    client_certificate
    mkdir -p "$DIR/restored"
    chmod 777 "$DIR/restored"
    printf '%s' "a'b\"c\$d\\e f%g#h:i@j/k;ü" >"$DIR/odd_password"
    local odd may="resetchannels ~* +psync +replconf"
    odd=$(sha256sum "$DIR/odd_password" | cut -d' ' -f1)
    server main 0 "tls-port $(at 1)
tls-auth-clients no
requirepass $PASSWORD
repl-diskless-sync yes
user replica on >replicapw $may
user old on >oldpw ~* +sync +replconf +ping
user nothing on >nothingpw ~* +get
user odd on #$odd $may"
    server disk 2 "tls-port $(at 3)
tls-auth-clients yes
repl-diskless-sync no"
    server nosum 4 "rdbchecksum no
repl-diskless-sync yes"
    wait_for 10 answers 0 -a "$PASSWORD" && wait_for 10 answers 2 && wait_for 10 answers 4
}

answers() {
    local port
    port=$(at "$1")
    shift
    [ "$(redis-cli -p "$port" --no-auth-warning "$@" ping)" = PONG ]
}

# server NAME PORT LINES: in a folder of its own, without dumps of its own accord.
server() {
    mkdir -p "$DIR/$1"
    cat >"$DIR/$1.conf" <<C
bind 127.0.0.1
port $(at "$2")
unixsocket $DIR/$1/socket
unixsocketperm 777
dir $DIR/$1
save ""
daemonize no
repl-diskless-sync-delay 0
enable-debug-command yes
tls-cert-file $DIR/tls/server.crt
tls-key-file $DIR/tls/server.key
tls-ca-cert-file $DIR/tls/ca.crt
$3
C
    run "$1" redis-server "$DIR/$1.conf"
}

command_restored() {
    end restored
    server restored 5 ""
    wait_for 10 answers 5
}

# The server of the first port goes at once, as its host would.
command_crash() { end main KILL; }

client_certificate() {
    local d=$DIR/tls
    [ -s "$d/client.crt" ] && return 0
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=backup" -keyout "$d/client.key" -out "$d/client.csr" 2>/dev/null
    printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n' >"$d/client.ext"
    openssl x509 -req -in "$d/client.csr" -CA "$d/ca.crt" -CAkey "$d/ca.key" -CAcreateserial -days 30 \
        -extfile "$d/client.ext" -out "$d/client.crt" 2>/dev/null
    chmod 644 "$d"/client.*
}
