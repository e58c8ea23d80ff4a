# etcd, one member with TLS (PORT clients, PORT+1 peers). `restored` makes a member of
# DIR/restored.db and starts it (PORT+2 clients, PORT+3 peers).
start() {
    tls
    member s1 "$DIR/data" 0 && health 0
}

# member NAME FOLDER PORT
member() {
    local client=https://127.0.0.1:$(at "$3") peer=http://127.0.0.1:$(at $(($3 + 1)))
    mkdir -p -m 700 "$2"
    ETCD_UNSUPPORTED_ARCH='' run "$1" etcd --name "$1" --data-dir "$2" \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --cert-file "$DIR/tls/server.crt" --key-file "$DIR/tls/server.key" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "$1=$peer"
}

health() {
    ETCDCTL_API=3 wait_for 30 etcdctl --cacert "$DIR/tls/ca.crt" \
        --endpoints "https://127.0.0.1:$(at "$1")" endpoint health
}

stop() { end s1; }

command_restored() {
    local peer=http://127.0.0.1:$(at 3)
    ETCDCTL_API=3 etcdctl snapshot restore "$DIR/restored.db" --data-dir "$DIR/data2" --name s2 \
        --initial-cluster "s2=$peer" --initial-advertise-peer-urls "$peer" >>"$DIR/restore.log" 2>&1 &&
        member s2 "$DIR/data2" 2 && health 2
}
