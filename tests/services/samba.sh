# Samba. PORT: shares `data` (upper and lower case differ), `any` (they do not, as on Windows),
# `sealed` (encryption demanded), `guest` (anybody may read), `open` (anybody may write), `small`
# (16 MiB in all), `kept` (what lies there cannot be deleted). PORT+1: `data`, signing demanded.
# PORT+2: `data`, SMB1 alone. PORT+3: `data`, SMB 2.0.2 alone. PORT+4: `data`, no encryption.
# Users: `svcsmb` with the usual password; `odd` with the one in DIR/odd.password.
start() {
    [ -d "$DIR/shares" ] || shares
    user svcsmb 61101 "$DIR/home/svcsmb" /usr/sbin/nologin
    user odd 61102 "$DIR/home/odd" /usr/sbin/nologin
    smbd_at 0 main ""
    smbd_at 1 signed "server signing = mandatory"
    smbd_at 2 old $'server min protocol = NT1\n  server max protocol = NT1'
    smbd_at 3 first $'server min protocol = SMB2_02\n  server max protocol = SMB2_02'
    smbd_at 4 bare "smb encrypt = off"
    for number in 0 1 3 4; do
        wait_for 20 open "$(at $number)" || return 1
    done
    wait_for 10 smbclient -s "$DIR/main/smb.conf" -p "$PORT" -U "svcsmb%$PASSWORD" //127.0.0.1/data -c ls
}

# shares: their folders, each writable by those who may write.
shares() {
    mkdir -p "$DIR"/shares/{data,any,sealed,guest,open,small,kept}
    mount -t tmpfs -o size=16m none "$DIR/shares/small"
    echo "read me" >"$DIR/shares/guest/file"
    chmod 777 "$DIR"/shares/{data,any,sealed,open,small}
    mkdir -p "$DIR/shares/kept/a" && echo "old" >"$DIR/shares/kept/a/old"
    chmod 1777 "$DIR/shares/kept" "$DIR/shares/kept/a"
    printf 'a'"'"'b"c$d\\e f%%g#h:i@j/k\nl! ü' >"$DIR/odd.password"
    chmod 644 "$DIR/odd.password"
}

# smbd_at NUMBER NAME LINES: one more server, with passwords and state of its own.
smbd_at() {
    local d=$DIR/$2
    if [ ! -d "$d" ]; then
        mkdir -p "$d"/{private,state,cache,lock,ncalrpc,pid,log}
        chmod 700 "$d/private"
        smb_conf "$d" "$(at "$1")" "$3" >"$d/smb.conf"
        printf '%s\n%s\n' "$PASSWORD" "$PASSWORD" | smbpasswd -c "$d/smb.conf" -s -a svcsmb
        printf 'x\nx\n' | smbpasswd -c "$d/smb.conf" -s -a odd
        # A password with a line break comes in as its hash.
        pdbedit -s "$d/smb.conf" -u odd "--set-nt-hash=$(nt_hash <"$DIR/odd.password")"
    fi >>"$DIR/passdb.log" 2>&1
    run "$2" smbd --foreground --no-process-group --debug-stdout -s "$d/smb.conf"
}

nt_hash() { iconv -f UTF-8 -t UTF-16LE | openssl dgst -provider legacy -md4 -r | cut -d' ' -f1; }

smb_conf() {
    cat <<C
[global]
  workgroup = SVC
  netbios name = SVC
  server role = standalone server
  smb ports = $2
  interfaces = lo
  bind interfaces only = yes
  disable netbios = yes
  private dir = $1/private
  state directory = $1/state
  cache directory = $1/cache
  lock directory = $1/lock
  pid directory = $1/pid
  ncalrpc dir = $1/ncalrpc
  passdb backend = tdbsam:$1/private/passdb.tdb
  log file = $1/log/smbd.log
  max log size = 0
  map to guest = bad user
  guest account = nobody
  load printers = no
  printing = bsd
  printcap name = /dev/null
  disable spoolss = yes
  read only = no
  create mask = 0644
  $3
[data]
  path = $DIR/shares/data
  case sensitive = yes
[any]
  path = $DIR/shares/any
[sealed]
  path = $DIR/shares/sealed
  case sensitive = yes
  smb encrypt = required
[guest]
  path = $DIR/shares/guest
  guest ok = yes
  read only = yes
[open]
  path = $DIR/shares/open
  case sensitive = yes
  guest ok = yes
[small]
  path = $DIR/shares/small
[kept]
  path = $DIR/shares/kept
C
}
