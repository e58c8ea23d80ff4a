# MySQL of Debian sid in a tree of its own on PORT; `root`@127.0.0.1 has the usual password
# (caching_sha2_password). The tree lies in /var/cache and is made once; where it cannot be had the
# tests say so and are skipped: sid moves. In DIR/bin are its `mysql` and `mysqldump`.
tree=/var/cache/nxs-backup-tests/mysql
data=/srv/mysql

start() {
    ( flock 9; [ -e "$tree/ready" ] || make_tree ) 9>"/tmp/nxs-test-mysql-tree.lock" || return 1
    mkdir -p "$DIR/bin" "$DIR/data"
    # What the tree writes lies in our folder; the host's folders are seen at their own places.
    mkdir -p "$tree$data" "$tree$DIR" "$tree/tmp"
    mount --bind "$DIR" "$tree$DIR"
    mount --bind "$DIR/data" "$tree$data"
    chown 9306:9306 "$DIR/data"
    local fresh=
    if [ ! -d "$DIR/data/mysql" ]; then
        fresh=yes
        chroot "$tree" /usr/sbin/mysqld --no-defaults --initialize-insecure --user=mysql --datadir=$data \
            --lc-messages-dir=/usr/share/mysql --innodb-redo-log-capacity=64M >"$DIR/init.log" 2>&1 || return 1
    fi
    run mysqld chroot "$tree" /usr/sbin/mysqld --no-defaults --user=mysql --datadir=$data --port="$PORT" \
        --bind-address=127.0.0.1 --mysqlx=OFF --secure-file-priv=NULL --socket=$data/sock --pid-file=$data/pid \
        --lc-messages-dir=/usr/share/mysql --server-id=1 --innodb-buffer-pool-size=32M \
        --innodb-redo-log-capacity=64M --performance-schema=OFF
    wait_for 60 open "$PORT" || return 1
    [ -z "$fresh" ] || wait_for 20 chroot "$tree" /usr/bin/mysql --no-defaults -S $data/sock -uroot -e "
        CREATE USER root@'127.0.0.1' IDENTIFIED BY '$PASSWORD'; GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION" || return 1
    for tool in mysql mysqldump; do
        # With the libraries of the tree, outside of it.
        cat >"$DIR/bin/$tool" <<T
#!/bin/sh
exec $tree/lib64/ld-linux-x86-64.so.2 --library-path $tree/usr/lib/$(uname -m)-linux-gnu $tree/usr/bin/$tool "\$@"
T
        chmod 755 "$DIR/bin/$tool"
    done
}

make_tree() {
    local from
    from=$(awk '/^URIs/{print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null)
    rm -rf "$tree"
    mkdir -p "${tree%/*}"
    # "extract" unpacks and runs no script of a package: quick, and without users or /proc.
    mmdebstrap --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
        --include=base-files,libc-bin,bash,coreutils,mysql-server-core,mysql-client-core \
        sid "$tree" "${from:-http://deb.debian.org/debian}" >"$DIR/tree.log" 2>&1 ||
        { echo "MySQL cannot be had: $(tail -n 3 "$DIR/tree.log")" >&2; return 1; }
    rm -rf "$tree"/usr/share/doc/* "$tree"/usr/share/man/* "$tree"/usr/share/locale/*
    [ -e "$tree/usr/bin/sh" ] || ln -s bash "$tree/usr/bin/sh"
    mkdir -p "$tree/proc" "$tree/tmp" "$tree/srv"
    chmod 1777 "$tree/tmp"
    local name
    for name in "null 1 3" "zero 1 5" "urandom 1 9" "random 1 8"; do
        # shellcheck disable=SC2086
        set -- $name
        [ -c "$tree/dev/$1" ] || mknod -m 666 "$tree/dev/$1" c "$2" "$3"
    done
    printf 'root:x:0:0::/:/bin/sh\nmysql:x:9306:9306::/nonexistent:/bin/false\n' >"$tree/etc/passwd"
    printf 'root:x:0:\nmysql:x:9306:\n' >"$tree/etc/group"
    printf '127.0.0.1 localhost\n' >"$tree/etc/hosts"
    printf 'passwd: files\ngroup: files\nhosts: files\n' >"$tree/etc/nsswitch.conf"
    touch "$tree/ready"
}

stop() { end mysqld; }
