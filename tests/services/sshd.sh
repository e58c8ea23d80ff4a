# OpenSSH. User `svcsftp`: SFTP only; `svcshell`: a shell. Both take the password and the keys in
# DIR/keys. PORT: sftp by internal-sftp. PORT+1: the same without the subsystem.
start() {
    mkdir -p "$DIR/keys" "$DIR/home" /run/sshd
    for kind in ed25519 rsa ecdsa; do
        [ -f "$DIR/host_$kind" ] || ssh-keygen -q -t $kind -N '' -f "$DIR/host_$kind"
        [ -f "$DIR/keys/$kind" ] || ssh-keygen -q -t $kind -N '' -C test -f "$DIR/keys/$kind"
    done
    [ -f "$DIR/keys/locked" ] || ssh-keygen -q -t ed25519 -N "$PASSWORD" -C test -f "$DIR/keys/locked"
    user svcsftp 61001 "$DIR/home/svcsftp" /bin/bash
    user svcshell 61002 "$DIR/home/svcshell" /bin/bash
    cat "$DIR"/keys/*.pub >"$DIR/authorized_keys"
    sshd_config "$PORT" "Subsystem sftp internal-sftp" >"$DIR/sshd.conf"
    sshd_config "$(at 1)" "" >"$DIR/bare.conf"
    for kind in ed25519 rsa ecdsa; do
        printf '[127.0.0.1]:%s %s\n' "$PORT" "$(cut -d' ' -f1,2 "$DIR/host_$kind.pub")"
    done >"$DIR/known_hosts"
    chmod -R a+rX "$DIR/keys" "$DIR/known_hosts"
    run sshd /usr/sbin/sshd -D -e -f "$DIR/sshd.conf"
    run bare /usr/sbin/sshd -D -e -f "$DIR/bare.conf"
    wait_for 10 open "$PORT" && wait_for 10 open "$(at 1)"
}

sshd_config() {
    cat <<C
Port $1
ListenAddress 127.0.0.1
HostKey $DIR/host_ed25519
HostKey $DIR/host_rsa
HostKey $DIR/host_ecdsa
PidFile none
AuthorizedKeysFile $DIR/authorized_keys
UsePAM no
PasswordAuthentication yes
KbdInteractiveAuthentication no
PermitRootLogin no
StrictModes no
MaxStartups 200
MaxSessions 200
MaxAuthTries 20
$2
Match User svcsftp
  AllowTcpForwarding no
  X11Forwarding no
  PermitTTY no
C
}
