# NFS-Ganesha: NFSv3 over TCP. PORT: NFS, PORT+1: MOUNT. Nothing listens on port 111 of this
# machine: rpcbind, without which Ganesha does not start, is asked over its private socket.
# Exports in DIR, all of AUTH_SYS: `export` (anybody is what he says he is), `readonly`,
# `squashed` (everybody is nobody, who may not write), `small` (16 MiB), `secure` (source ports
# below 1024 only), `four` (NFSv4 only).
start() {
    local number=1 name
    mkdir -p /run/ganesha "$DIR/recovery"
    for name in export readonly squashed small secure four; do
        mkdir -p "$DIR/$name"
        chmod 755 "$DIR/$name"
    done
    chmod 777 "$DIR/export" "$DIR/secure"
    mountpoint -q "$DIR/small" || mount -t tmpfs -o size=16m,mode=777 none "$DIR/small"
    {
        core
        for name in export readonly squashed small secure four; do
            number=$((number + 1))
            share "$number" "$name"
        done
    } >"$DIR/ganesha.conf"
    if ! rpcinfo -s >/dev/null 2>&1; then
        rm -f /run/rpcbind.sock
        run rpcbind unshare --net rpcbind -f -w
        wait_for 10 test -S /run/rpcbind.sock || return 1
    fi
    run ganesha ganesha.nfsd -F -f "$DIR/ganesha.conf" -L "$DIR/ganesha.log" -p /run/ganesha/pid -N NIV_EVENT
    wait_for 30 nfs-ls "nfs://127.0.0.1$DIR/export/?nfsport=$PORT&mountport=$(at 1)"
}

stop() { end ganesha; }

core() {
    cat <<C
NFS_CORE_PARAM {
  Bind_addr = 127.0.0.1; NFS_Port = $PORT; MNT_Port = $(at 1); NLM_Port = $(at 2); Rquota_Port = $(at 3);
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; Protocols = 3, 4; fsid_device = true;
}
NFSV4 { Grace_Period = 5; Lease_Lifetime = 5; Graceless = true; RecoveryRoot = "$DIR/recovery"; }
EXPORT_DEFAULTS { SecType = sys; Squash = No_Root_Squash; Access_Type = RW; Transports = TCP; }
LOG { Default_Log_Level = EVENT; }
C
}

# share NUMBER NAME: one export.
share() {
    local more="Protocols = 3, 4;"
    case $2 in
        readonly) more+=" Access_Type = RO;" ;;
        squashed) more+=" Squash = All_Squash; Anonymous_Uid = 65534; Anonymous_Gid = 65534;" ;;
        secure) more+=" PrivilegedPort = true;" ;;
        four) more="Protocols = 4;" ;;
    esac
    echo "EXPORT { Export_Id = $1; Path = $DIR/$2; Pseudo = /$2; Tag = $2; $more FSAL { Name = VFS; } }"
}
