# NFS-Ganesha on the ports that everybody knows: NFS on 2049, rpcbind on 111. It lives in a network
# of its own, where `inside` runs DIR/inside.sh; what that says goes to DIR/inside.log, its exit
# code to DIR/inside.code. `four` starts it again with NFSv4 alone. Export: DIR/export.
start() { serve "3, 4"; }
command_four() { end ganesha && serve 4; }

command_inside() {
    nsenter --net="$DIR/net" sh "$DIR/inside.sh" >"$DIR/inside.log" 2>&1
    echo $? >"$DIR/inside.code"
}

# serve PROTOCOLS
serve() {
    mkdir -p /run/ganesha "$DIR/recovery" "$DIR/export"
    chmod 777 "$DIR/export"
    if ! mountpoint -q "$DIR/net"; then
        touch "$DIR/net"
        unshare --net="$DIR/net" ip link set lo up || return 1
    fi
    cat >"$DIR/ganesha.conf" <<C
NFS_CORE_PARAM { Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; Protocols = $1; fsid_device = true; }
NFSV4 { Graceless = true; RecoveryRoot = "$DIR/recovery"; }
EXPORT {
  Export_Id = 2; Path = $DIR/export; Pseudo = /export; Tag = export; Protocols = $1; Transports = TCP;
  SecType = sys; Squash = No_Root_Squash; Access_Type = RW; FSAL { Name = VFS; }
}
LOG { Default_Log_Level = EVENT; }
C
    if ! rpcinfo -s >/dev/null 2>&1; then
        rm -f /run/rpcbind.sock
        run rpcbind nsenter --net="$DIR/net" rpcbind -f -w
        wait_for 10 test -S /run/rpcbind.sock || return 1
    fi
    run ganesha nsenter --net="$DIR/net" ganesha.nfsd -F -f "$DIR/ganesha.conf" -L "$DIR/ganesha.log" \
        -p /run/ganesha/pid -N NIV_EVENT
    wait_for 30 nsenter --net="$DIR/net" bash -c 'exec 3<>/dev/tcp/127.0.0.1/2049'
}
