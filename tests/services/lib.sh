# What every service shares. `serve` runs this file as the first process of the namespaces; it
# sources NAME.sh, which defines `start` (returns once the server answers) and may define `stop`
# (ends it in order) and more commands.
set -u
name=$1 DIR=$2 PORT=$3
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin HOME=$DIR
PASSWORD=svcpw
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
umask 022
chmod 755 "$DIR"

# at N: port number N of our block.
at() { echo $((PORT + $1)); }

# open PORT: tells whether somebody listens there.
open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_for SECONDS COMMAND...: asks again and again, and gives up in the end.
wait_for() {
    local left=$(($1 * 10))
    shift
    while [ "$left" -gt 0 ]; do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
        left=$((left - 1))
    done
    echo "timed out waiting for: $*" >&2
    return 1
}

# run NAME COMMAND...: starts a daemon in the foreground form; its words go to DIR/NAME.log.
run() {
    local what=$1
    shift
    "$@" >>"$DIR/$what.log" 2>&1 </dev/null &
    echo $! >"$DIR/$what.pid"
}

# end NAME [SIGNAL]: ends what `run` started, and waits until it is gone.
end() {
    local pid
    pid=$(cat "$DIR/$1.pid" 2>/dev/null) || return 0
    kill -"${2:-TERM}" "$pid" 2>/dev/null
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    rm -f "$DIR/$1.pid"
}

# kill_all: what a power cut does: everything but this shell goes at once.
kill_all() {
    kill -KILL -1 2>/dev/null
    wait
    rm -f "$DIR"/*.pid
}

# user NAME UID HOME SHELL: a user that exists only in this namespace, with the usual password.
user() {
    local hash
    # Never as an argument: tests look at every command line of the machine for it.
    hash=$(printf '%s' "$PASSWORD" | perl -0777 -e 'print crypt(<STDIN>, q($6$nxs$))')
    if [ ! -e "$DIR/etc/passwd" ]; then
        mkdir -p "$DIR/etc"
        for file in passwd shadow group; do
            cp "/etc/$file" "$DIR/etc/$file"
            mount --bind "$DIR/etc/$file" "/etc/$file"
        done
    fi
    grep -q "^$1:" /etc/passwd && return 0
    echo "$1:x:$2:$2::$3:$4" >>/etc/passwd
    echo "$1:$hash:19000:0:99999:7:::" >>/etc/shadow
    echo "$1:x:$2:" >>/etc/group
    mkdir -p "$3"
    chown "$2:$2" "$3"
}

# tls: a throw-away CA and a certificate for localhost and 127.0.0.1 in DIR/tls.
tls() {
    local d=$DIR/tls ec="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    [ -s "$d/server.pem" ] && return 0
    mkdir -p "$d"
    openssl req -x509 $ec -days 30 -subj "/CN=test CA" -keyout "$d/ca.key" -out "$d/ca.crt" 2>/dev/null
    openssl req $ec -subj "/CN=localhost" -keyout "$d/server.key" -out "$d/server.csr" 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >"$d/ext"
    openssl x509 -req -in "$d/server.csr" -CA "$d/ca.crt" -CAkey "$d/ca.key" -CAcreateserial \
        -days 30 -extfile "$d/ext" -out "$d/server.crt" 2>/dev/null
    cat "$d/server.crt" "$d/server.key" >"$d/server.pem"
    chmod 644 "$d"/*
}

stop() { kill_all; }
kill_hard() { kill_all; }

# Daemons look for sockets and pid files here, and must not find those of the machine.
mount -t tmpfs -o mode=755 none /run
. "$here/$name.sh"

if ! start; then
    echo "$name did not start" >&2
    tail -n 40 "$DIR"/*.log >&2
    exit 3
fi
echo ready
while read -r command; do
    case $command in
        start | stop) word=$command ;;
        kill) word=kill_hard ;;
        *) word=command_$command ;;
    esac
    if "$word"; then echo "done"; else echo failed; fi
done
exit 0
