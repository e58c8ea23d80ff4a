# PostgreSQL, whatever version is installed, with data checksums:
#   PORT    TCP with and without TLS, and the socket in DIR/sock
#   PORT+1  a standby, once `standby` was asked for; its socket is there, too
# The superuser `postgres` has the usual password by TCP and needs none by the socket; `svcodd` has
# the password in DIR/odd_password everywhere, `svctls` gets in by TLS alone, `svcplain` owns
# nothing. DIR/space is a folder for a tablespace.
bin() { ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }

as() { setpriv --reuid postgres --regid postgres --init-groups -- "$@"; }

start() {
    mkdir -p "$DIR/sock" "$DIR/space"
    tls
    cp -n "$DIR/tls/server.key" "$DIR/tls/own.key"
    chmod 600 "$DIR/tls/own.key"
    chown -R postgres: "$DIR/sock" "$DIR/space" "$DIR/tls/own.key"
    cd "$DIR" || return 1
    if [ ! -s "$DIR/main/PG_VERSION" ]; then
        mkdir "$DIR/main" && chown postgres: "$DIR/main"
        echo "$PASSWORD" >"$DIR/pw" && chmod 644 "$DIR/pw"
        as "$(bin)/initdb" -N -D "$DIR/main" -U postgres --pwfile="$DIR/pw" --auth=trust \
            -E UTF8 --locale=C.UTF-8 --data-checksums >"$DIR/initdb.log" 2>&1 || return 1
        conf
    fi
    launch main 0 || return 1
    [ -f "$DIR/odd_password" ] || roles
    [ ! -s "$DIR/standby/PG_VERSION" ] || launch standby 1
}

# launch NAME NUMBER: starts it and waits until it answers.
launch() {
    run "$1" setpriv --reuid postgres --regid postgres --init-groups -- "$(bin)/postgres" -D "$DIR/$1"
    wait_for 60 "$(bin)/pg_isready" -q -h "$DIR/sock" -p "$(at "$2")"
}

conf() {
    cat >>"$DIR/main/postgresql.conf" <<C
listen_addresses = '127.0.0.1'
port = $PORT
unix_socket_directories = '$DIR/sock'
ssl = on
ssl_cert_file = '$DIR/tls/server.crt'
ssl_key_file = '$DIR/tls/own.key'
fsync = off
shared_buffers = 16MB
max_connections = 60
wal_level = logical
autovacuum = off
C
    cat >"$DIR/main/pg_hba.conf" <<C
local   all         svcodd                  scram-sha-256
local   all         all                     trust
local   replication all                     trust
hostssl all         svctls  127.0.0.1/32    scram-sha-256
host    all         svctls  127.0.0.1/32    reject
host    all         all     127.0.0.1/32    scram-sha-256
host    replication all     127.0.0.1/32    scram-sha-256
C
}

roles() {
    printf "%s" "a'b\"c\$d\\e f%g#h:i@j/k;ü" >"$DIR/odd_password.new"
    local odd
    odd=$(sed "s/'/''/g; s/\\\\/\\\\\\\\/g" "$DIR/odd_password.new")
    "$(bin)/psql" -X -q -h "$DIR/sock" -p "$PORT" -U postgres -v ON_ERROR_STOP=1 >"$DIR/roles.log" 2>&1 <<C || return 1
create role svcodd superuser login replication password E'$odd';
create role svctls login superuser password '$PASSWORD';
create role svcplain login password '$PASSWORD';
C
    mv "$DIR/odd_password.new" "$DIR/odd_password"
}

command_standby() {
    [ -d "$DIR/standby" ] || {
        mkdir "$DIR/standby" && chown postgres: "$DIR/standby" && chmod 700 "$DIR/standby" &&
            as "$(bin)/pg_basebackup" -h "$DIR/sock" -p "$PORT" -U postgres -D "$DIR/standby" -R -X stream -c fast &&
            echo "port = $(at 1)" >>"$DIR/standby/postgresql.conf" && launch standby 1
    }
}

stop() {
    end standby INT
    end main INT
}
