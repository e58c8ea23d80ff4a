# Ceph: one mon, one OSD that lives in memory, one S3 gateway, no authentication inside. All data is
# forgotten when the OSD ends; `stop_gateway`, `kill_gateway` and `start_gateway` keep it.
#
# PORT: the gateway, PORT+1: the same with TLS (DIR/tls/ca.crt). Virtual hosts lie below `localhost`.
# Users, a key and a secret each: `svckey` owns the buckets `main` and `other`; `oddkey` has the odd
# secret of DIR/odd and owns `odd`; `smallkey` has 4 MiB in all and owns `small`. `dropkey` may only
# put objects into `dropbox`, `keepkey` may do everything in `keepsafe` but delete: both are svc's.
# STS hands out keys for a time; KMS, of the kind that Ceph has for tests, knows the key `testkey`.
start() {
    tls
    rm -rf "$DIR/mon" "$DIR/osd" "$DIR/rgw" "$DIR"/ceph.conf "$DIR/keyring"
    mkdir -p "$DIR/mon" "$DIR/osd" "$DIR/rgw" "$DIR/run"
    printf 'a "b\047 c$d \\e%%f#g:h@i/j\nk' >"$DIR/odd"
    ceph_conf >"$DIR/ceph.conf"
    C="-c $DIR/ceph.conf"
    monmaptool --create --addv a "v1:127.0.0.1:$(at 2)" --fsid "$FSID" "$DIR/monmap" >/dev/null
    ceph-authtool -C "$DIR/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
    ceph-mon $C --mkfs -i a --monmap "$DIR/monmap" --keyring "$DIR/keyring" >>"$DIR/mkfs.log" 2>&1 || return 1
    run mon ceph-mon $C -i a -f
    wait_for 30 open "$(at 2)" || return 1
    osd || return 1
    users >>"$DIR/users.log" 2>&1 || return 1
    start_gateway || return 1
    buckets
}

FSID=00000000-0000-4000-8000-000000000001

# Without authentication a daemon may send its first command before it has the map of monitors. So
# the OSD sends none, and should it still not come up, it is started again.
osd() {
    wait_for 60 timeout 30 ceph $C osd new 00000000-0000-4000-8000-0000000000aa 0 || return 1
    wait_for 60 timeout 30 ceph $C osd crush add osd.0 1.0 root=default host=svc || return 1
    ceph-osd $C -i 0 --mkfs --osd-uuid 00000000-0000-4000-8000-0000000000aa >>"$DIR/mkfs.log" 2>&1 || return 1
    for _ in 1 2 3 4; do
        run osd ceph-osd $C -i 0 -f
        wait_for 25 osd_is_up && return 0
        end osd KILL
    done
    return 1
}

osd_is_up() { timeout 15 ceph $C osd stat 2>/dev/null | grep -q ' 1 up'; }

users() {
    local admin="timeout 120 radosgw-admin $C"
    $admin user create --uid=svc --display-name=svc --access-key=svckey --secret-key=svcsecret &&
        $admin caps add --uid=svc --caps='user-policy=*' &&
        $admin user create --uid=odd --display-name=odd --access-key=oddkey --secret-key="$(cat "$DIR/odd")" &&
        $admin user create --uid=small --display-name=small --access-key=smallkey --secret-key=smallsecret &&
        $admin quota set --quota-scope=user --uid=small --max-size=4M &&
        $admin quota enable --quota-scope=user --uid=small &&
        $admin user create --uid=drop --display-name=drop --access-key=dropkey --secret-key=dropsecret &&
        $admin user create --uid=keep --display-name=keep --access-key=keepkey --secret-key=keepsecret &&
        $admin zonegroup placement add --rgw-zonegroup default --placement-id default-placement \
            --storage-class STANDARD_IA &&
        $admin zone placement add --rgw-zone default --placement-id default-placement \
            --storage-class STANDARD_IA --data-pool default.rgw.ia.data
}

start_gateway() {
    run rgw radosgw $C -n client.rgw -f
    wait_for 90 open "$PORT" && wait_for 10 open "$(at 1)"
}

stop_gateway() { end rgw; }
# One more, on PORT+3, that knows keys for a time; such a gateway tells less of what is wrong with a key.
command_start_sts() {
    run sts radosgw $C -n client.sts -f
    wait_for 90 open "$(at 3)"
}
command_start_gateway() { start_gateway; }
command_stop_gateway() { stop_gateway; }
command_kill_gateway() { end rgw KILL; }

# ask KEY SECRET METHOD PATH [BODY]: one signed request.
ask() { python3 "$here/ask_s3.py" "127.0.0.1:$PORT" "$@"; }

buckets() {
    local bucket
    # The first request to a new pool takes its time.
    wait_for 30 ask svckey svcsecret PUT /main || return 1
    # What it takes to ask STS for keys.
    ask svckey svcsecret POST "/?Action=PutUserPolicy&UserName=svc&PolicyName=sts&Version=2010-05-08&PolicyDocument=$(
        printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:GetSessionToken"],"Resource":["*"]}]}')" >/dev/null || return 1
    for bucket in other dropbox keepsafe; do ask svckey svcsecret PUT "/$bucket" || return 1; done
    ask smallkey smallsecret PUT /small && ask oddkey "$(cat "$DIR/odd")" PUT /odd || return 1
    local rest='"s3:GetObject","s3:ListBucket","s3:AbortMultipartUpload","s3:ListBucketMultipartUploads"'
    allow drop dropbox '"s3:PutObject"' && allow keep keepsafe "\"s3:PutObject\",$rest"
}

# allow USER BUCKET ACTIONS: the policy of a bucket of svc's.
allow() {
    ask svckey svcsecret PUT "/$2?policy" "$(printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Principal":{"AWS":["arn:aws:iam:::user/%s"]},"Action":[%s],
        "Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}]}' "$1" "$3" "$2" "$2")"
}

ceph_conf() {
    cat <<X
[global]
fsid = $FSID
mon host = v1:127.0.0.1:$(at 2)
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
ms bind port min = $(at 8)
ms bind port max = $(at 40)
run dir = $DIR/run
admin socket = $DIR/run/\$name.asok
log file = $DIR/\$name.log
crash dir = $DIR/crash
keyring = $DIR/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
mon allow pool size one = true
osd crush chooseleaf type = 0
mon max pg per osd = 1000
osd objectstore = memstore
# A bench with larger objects asks for more.
memstore device bytes = $((${CEPH_MEMORY_GIB:-4} << 30))
osd op num shards = 1
mon data avail crit = 1
mon data avail warn = 1
[mon.a]
mon data = $DIR/mon
[osd]
osd crush update on start = false
osd class update on start = false
[osd.0]
osd data = $DIR/osd
[client.rgw]
rgw data = $DIR/rgw
rgw frontends = beast endpoint=127.0.0.1:$PORT ssl_endpoint=127.0.0.1:$(at 1) ssl_certificate=$DIR/tls/server.crt ssl_private_key=$DIR/tls/server.key
$(gateway_conf)
[client.sts]
rgw data = $DIR/rgw
rgw frontends = beast endpoint=127.0.0.1:$(at 3)
rgw sts key = abcdefghijklmnop
rgw s3 auth use sts = true
$(gateway_conf)
X
}

gateway_conf() {
    cat <<X
rgw enable usage log = false
rgw dns name = localhost
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey=$(printf '%s' 'thirty-two bytes, as a key has!!' | base64)
X
}
