# OpenSSH, one daemon a port:
#   PORT    sftp by internal-sftp
#   PORT+1  no sftp subsystem
#   PORT+2  sftp without OpenSSH's extensions
#   PORT+3  keyboard-interactive (PAM) instead of passwords
#   PORT+4  sftp that removes nothing
#   PORT+5  hangs up when it hears nothing for some seconds, wants new keys every 16 MiB
#   PORT+6  wants a key and then a password
# Users, who take the password `svcpw` and the keys in DIR/keys: `svcsftp` SFTP only, `svcshell` a
# shell, `svcodd` the password in DIR/odd_password, `svcgone` expired, `svcnoise` a login that
# talks. In the home of `svcsftp`: `small` a disk of 4 MiB, `locked` a folder of somebody else,
# `sticky` one with a file of somebody else.
start() {
    mkdir -p "$DIR/keys" "$DIR/home" /run/sshd
    for kind in ed25519 rsa ecdsa; do
        [ -f "$DIR/host_$kind" ] || ssh-keygen -q -t $kind -N '' -f "$DIR/host_$kind"
        [ -f "$DIR/keys/$kind" ] || ssh-keygen -q -t $kind -N '' -C test -f "$DIR/keys/$kind"
        [ -f "$DIR/keys/locked_$kind" ] ||
            ssh-keygen -q -t $kind -N "$PASSWORD" -C test -f "$DIR/keys/locked_$kind"
    done
    [ -f "$DIR/keys/locked" ] || cp "$DIR/keys/locked_ed25519" "$DIR/keys/locked"
    [ -f "$DIR/stranger" ] || ssh-keygen -q -t ed25519 -N '' -C stranger -f "$DIR/stranger"
    [ -f "$DIR/keys/pem" ] ||
        { cp "$DIR/keys/locked_rsa" "$DIR/keys/pem" &&
            ssh-keygen -q -p -m PEM -P "$PASSWORD" -N "$PASSWORD" -f "$DIR/keys/pem" >/dev/null; }
    users
    folders
    cat "$DIR"/keys/*.pub >"$DIR/authorized_keys"
    daemon sshd 0 "Subsystem sftp internal-sftp"
    daemon bare 1 ""
    daemon plain 2 "Subsystem sftp internal-sftp -P posix-rename,fsync,statvfs,fstatvfs,limits"
    daemon asking 3 "Subsystem sftp internal-sftp" no yes
    daemon keeping 4 "Subsystem sftp internal-sftp -P remove,rmdir"
    daemon strict 5 "Subsystem sftp internal-sftp
ClientAliveInterval 3
ClientAliveCountMax 2
RekeyLimit 16M"
    daemon twice 6 "Subsystem sftp internal-sftp
AuthenticationMethods publickey,password"
    known_hosts
    chmod -R a+rX "$DIR/keys" "$DIR/known_hosts"
    for port in 0 1 2 3 4 5 6; do
        wait_for 10 open "$(at $port)" || return 1
    done
}

users() {
    user svcsftp 61001 "$DIR/home/svcsftp" /bin/bash
    user svcshell 61002 "$DIR/home/svcshell" /bin/bash
    user svcnoise 61003 "$DIR/home/svcnoise" /bin/bash
    user svcgone 61004 "$DIR/home/svcgone" /bin/bash
    # The file is mounted: it can be written, not replaced.
    sed 's/^\(svcgone:.*:7:\):1\?:/\1:1:/' /etc/shadow >"$DIR/shadow" && cat "$DIR/shadow" >/etc/shadow
    rm -f "$DIR/shadow"
    printf '%s\nnext' "a'b\"c\$d\\e f%g#h:i@j/k" >"$DIR/odd_password"
    PASSWORD=$(cat "$DIR/odd_password") user svcodd 61005 "$DIR/home/svcodd" /bin/bash
}

folders() {
    local home=$DIR/home/svcsftp
    mkdir -p "$home/small" "$home/locked/inner" "$home/sticky"
    mountpoint -q "$home/small" || mount -t tmpfs -o size=4m,mode=755,uid=61001,gid=61001 none "$home/small"
    chmod 1777 "$home/sticky"
    [ -f "$home/sticky/theirs" ] || echo theirs >"$home/sticky/theirs"
}

# daemon NAME PORT LINES [PASSWORDS [PAM]]
daemon() {
    cat >"$DIR/$1.conf" <<C
Port $(at "$2")
ListenAddress 127.0.0.1
HostKey $DIR/host_ed25519
HostKey $DIR/host_rsa
HostKey $DIR/host_ecdsa
PidFile none
AuthorizedKeysFile $DIR/authorized_keys
UsePAM ${5:-no}
PasswordAuthentication ${4:-yes}
KbdInteractiveAuthentication ${5:-no}
PermitRootLogin no
StrictModes no
MaxStartups 200
MaxSessions 200
MaxAuthTries 20
$3
Match User svcsftp
  AllowTcpForwarding no
  X11Forwarding no
  PermitTTY no
Match User svcnoise
  ForceCommand echo "Welcome! Your mail is waiting."
C
    run "$1" /usr/sbin/sshd -D -e -f "$DIR/$1.conf"
}

# known_hosts: every key; one file more for each type; one with a key that is not the server's.
known_hosts() {
    local kind port
    for kind in ed25519 rsa ecdsa; do
        for port in 0 1 2 3 4 5 6; do
            printf '[127.0.0.1]:%s %s\n' "$(at $port)" "$(cut -d' ' -f1,2 "$DIR/host_$kind.pub")"
        done >"$DIR/known_$kind"
    done
    cat "$DIR"/known_{ed25519,rsa,ecdsa} >"$DIR/known_hosts"
    cp "$DIR/known_rsa" "$DIR/known_hashed"
    ssh-keygen -q -H -f "$DIR/known_hashed" >/dev/null 2>&1
    rm -f "$DIR/known_hashed.old"
    printf '[127.0.0.1]:%s %s\n' "$PORT" "$(cut -d' ' -f1,2 "$DIR/stranger.pub")" >"$DIR/known_wrong"
}

