# A server that speaks MongoDB: PostgreSQL with the DocumentDB extension (documentdb.sh) behind
# mongo_gw.py. It is no MongoDB: no oplog, no transactions, no real replica set. DIR/bin has the
# stock mongodump and mongorestore.
#   PORT    users `svc` (svcpw), `odd` (DIR/odd_password, of the database `users`), `limited`
#           (limitedpw, may not read collections called `forbidden`)
#   PORT+1  nobody has to log in; PORT+2 TLS; PORT+3 the replica set `rs0`
# Reading a collection `slow` takes long; reading one called `stuck` never ends.
cache=/var/cache/nxs-backup-tests/mongo
start() {
    local root=$cache/root data=/srv/pg bin=/usr/lib/postgresql/18/bin
    tls
    printf '%s' "a'b\"c\$d\\e f%g#h:i@j/k;ü" >"$DIR/odd_password"
    if ! "$here/documentdb.sh" "$cache" >"$DIR/fetch.log" 2>&1; then
        # The test says so loudly: Debian sid and npm are not always there.
        touch "$DIR/not_to_be_had"
        return 0
    fi
    mkdir -p "$DIR/bin" "$DIR/pg" "$DIR/root"
    cp "$cache"/bin/* "$DIR/bin/"
    mount --bind "$root" "$DIR/root"
    mount -t tmpfs -o size=256m,mode=1777 shm "$DIR/root/dev/shm"
    mount --bind "$DIR/pg" "$DIR/root/srv"
    mkdir -p "$DIR/pg/pg"
    chown -R 9432:9432 "$DIR/pg"
    inside() { env HOME=/srv LC_ALL=C chroot --userspec=9432:9432 "$DIR/root" "$@"; }
    inside $bin/initdb -D $data/d -U postgres --auth=trust --locale-provider=builtin \
        --builtin-locale=C.UTF-8 --locale=C -E UTF8 >"$DIR/init.log" 2>&1 || return 1
    cat >>"$DIR/pg/pg/d/postgresql.conf" <<C
port = $(at 10)
listen_addresses = '127.0.0.1'
unix_socket_directories = '$data'
fsync = off
shared_buffers = 64MB
shared_preload_libraries = 'pg_cron, pg_documentdb_core, pg_documentdb'
cron.database_name = 'postgres'
cron.host = '$data'
C
    run postgres env HOME=/srv LC_ALL=C chroot --userspec=9432:9432 "$DIR/root" $bin/postgres -D $data/d
    wait_for 60 inside $bin/psql -h 127.0.0.1 -p "$(at 10)" -U postgres -qc \
        "set client_min_messages = error; create extension if not exists documentdb cascade" || return 1
    front
}

front() {
    run front /usr/bin/python3 "$here/mongo_gw.py" "$PORT" "host=127.0.0.1 port=$(at 10) user=postgres dbname=postgres" "$DIR"
    for port in 0 1 2 3; do wait_for 20 open "$(at $port)" || return 1; done
}

# Every connection breaks at once.
command_crash() { end front KILL; }
command_front() { front; }
