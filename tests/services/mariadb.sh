# MariaDB, two servers with sockets DIR/a.sock and DIR/b.sock, TLS on both; `root` without a password
# on the socket, `root`@127.0.0.1 with the usual one:
#   PORT     a: the primary
#   PORT+1   b: follows a (GTID) after `replicate`
# Commands: `stop_a`, `start_a` (b likewise), `kill_a` (as by a power cut), `replicate`.
start() {
    tls
    certificate
    user svcmaria 61010 "$DIR/home" /bin/false
    chmod 644 "$DIR/tls/server.key"
    chown 61010 "$DIR"
    one a 0 && one b 1
}

# certificate: one for a client, too, in DIR/tls/client.crt.
certificate() {
    local d=$DIR/tls
    [ -s "$d/client.crt" ] && return 0
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=client" \
        -keyout "$d/client.key" -out "$d/client.csr" 2>/dev/null
    openssl x509 -req -in "$d/client.csr" -CA "$d/ca.crt" -CAkey "$d/ca.key" -CAcreateserial \
        -days 30 -out "$d/client.crt" 2>/dev/null
    chmod 644 "$d"/client.*
}

stop() { end a && end b; }

# one NAME NUMBER: makes its data folder where it is missing, and starts it.
one() {
    local fresh= d=$DIR/$1
    if [ ! -d "$d/mysql" ]; then
        fresh=yes
        mariadb-install-db --no-defaults --user=svcmaria --datadir="$d" --tmpdir="$DIR/home" --skip-test-db \
            --auth-root-authentication-method=normal >"$DIR/install-$1.log" 2>&1 || return 1
        conf "$1" "$2"
    fi
    run "$1" mariadbd --defaults-file="$DIR/$1.cnf"
    wait_for 60 client "$1" -e 'SELECT 1' || return 1
    [ -z "$fresh" ] || client "$1" -e "CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '$PASSWORD';
        GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
        GRANT PROXY ON ''@'%' TO root@'127.0.0.1' WITH GRANT OPTION;
        CREATE USER svcrepl@'127.0.0.1' IDENTIFIED BY '$PASSWORD'; GRANT REPLICATION SLAVE ON *.* TO svcrepl@'127.0.0.1';
        DELETE FROM mysql.global_priv WHERE User IN ('', 'root') AND Host NOT IN ('localhost', '127.0.0.1');
        DELETE FROM mysql.proxies_priv WHERE Host NOT IN ('localhost', '127.0.0.1'); FLUSH PRIVILEGES; RESET MASTER"
}

conf() {
    cat >"$DIR/$1.cnf" <<C
[mysqld]
user = svcmaria
datadir = $DIR/$1
# Servers in namespaces of their own have the same process number, and would share names in /tmp.
tmpdir = $DIR/home
port = $(at "$2")
bind-address = 127.0.0.1
socket = $DIR/$1.sock
pid-file = $DIR/$1.mysqld
server-id = $(($2 + 1))
log-bin = binlog
log-slave-updates = ON
skip-slave-start = ON
event-scheduler = ON
ssl-ca = $DIR/tls/ca.crt
ssl-cert = $DIR/tls/server.crt
ssl-key = $DIR/tls/server.key
innodb-buffer-pool-size = 32M
innodb-log-file-size = 16M
innodb-flush-log-at-trx-commit = 0
innodb-flush-method = nosync
sync-binlog = 0
performance-schema = OFF
skip-name-resolve = ON
C
}

client() { mariadb --no-defaults --socket="$DIR/$1.sock" --user=root "${@:2}"; }

command_stop_a() { end a; }
command_stop_b() { end b; }
command_kill_a() { end a KILL; }
command_start_a() { one a 0; }
command_start_b() { one b 1; }
command_replicate() {
    client b -e "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=$PORT, MASTER_USER='svcrepl',
        MASTER_PASSWORD='$PASSWORD', MASTER_USE_GTID=slave_pos; START SLAVE" &&
        wait_for 20 bash -c "mariadb --no-defaults --socket=$DIR/b.sock -uroot -e 'SHOW SLAVE STATUS\G' | grep -q 'Slave_SQL_Running: Yes'"
}
