# OpenStack Swift, all in one, one replica in a plain folder. PORT: the proxy with tempauth (v1) and
# s3api. PORT+1: the same behind TLS. Account svc: `admin` with the usual password, `reader` (may do
# nothing until a container says so), and `awkward`, whose key is in DIR/awkward. For S3 the access
# key is `svc:admin`, the region us-east-1. The command `forget` makes every token void; `few` opens
# PORT+2, where an upload takes 3 parts and a large object 3 segments.
ACCOUNT_PORT=$(at 3) CONTAINER_PORT=$(at 4) OBJECT_PORT=$(at 5) CACHE_PORT=$(at 6)
AWKWARD="it's\"\$HOME\\#:@/%41;&=?"
E=$DIR/etc-swift

start() {
    swift_files || return 1
    proxy_config temp "$PORT" "s3api tempauth" >"$E/temp.conf"
    run_stores
    run temp swift-proxy-server "$E/temp.conf" -v
    run_tls "$(at 1)" "$PORT"
    wait_stores && wait_for 60 curl -sSf "http://127.0.0.1:$PORT/healthcheck"
}

# Rings, hash suffix and the three servers below a proxy; all of it survives a `stop`.
swift_files() {
    [ -s "$E/object.ring.gz" ] && return 0
    mkdir -p "$E" "$DIR/dev" "$DIR/cache"
    # Without flushes it is twice as fast; kernels before 6.6 keep no attributes in memory.
    mount -t tmpfs -o mode=755 none "$DIR/dev"
    setfattr -n user.test -v 1 "$DIR/dev" 2>/dev/null || umount "$DIR/dev"
    mkdir -p "$DIR/dev/d1"
    chown -R swift:swift "$DIR/dev" "$DIR/cache"
    printf %s "$AWKWARD" >"$DIR/awkward"
    cat >"$E/swift.conf" <<C
[swift-hash]
swift_hash_path_suffix = svc
swift_hash_path_prefix = svc
[storage-policy:0]
name = Policy-0
default = yes
C
    rings || return 1
    store_config account "$ACCOUNT_PORT"
    store_config container "$CONTAINER_PORT"
    store_config object "$OBJECT_PORT"
}

# One process for all three: importing swift is what costs here.
rings() {
    (cd "$E" && /usr/bin/python3 - "$ACCOUNT_PORT" "$CONTAINER_PORT" "$OBJECT_PORT") >>"$DIR/ring.log" 2>&1 <<'C'
import sys
from swift.common.ring import RingBuilder
for kind, port in zip(("account", "container", "object"), map(int, sys.argv[1:])):
    ring = RingBuilder(4, 1, 0)
    ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1",
                  "weight": 1, "replication_ip": "127.0.0.1", "replication_port": port, "meta": ""})
    ring.rebalance()
    ring.get_ring().save(kind + ".ring.gz")
C
}

run_stores() {
    run memcached memcached -u nobody -l 127.0.0.1 -p "$CACHE_PORT" -U 0 -m 32
    local kind
    for kind in account container object; do
        run "$kind" "swift-$kind-server" "$E/$kind-server.conf" -v
    done
}

wait_stores() {
    local port
    for port in "$CACHE_PORT" "$ACCOUNT_PORT" "$CONTAINER_PORT" "$OBJECT_PORT"; do
        wait_for 60 open "$port" || return 1
    done
}

# run_tls PORT TARGET
run_tls() {
    tls
    cat >"$DIR/nginx.conf" <<C
daemon off;
master_process off;
pid $DIR/nginx.lock;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path $DIR/nginx-body;
    proxy_temp_path $DIR/nginx-proxy;
    fastcgi_temp_path $DIR/nginx-fastcgi;
    uwsgi_temp_path $DIR/nginx-uwsgi;
    scgi_temp_path $DIR/nginx-scgi;
    server {
        listen 127.0.0.1:$1 ssl;
        ssl_certificate $DIR/tls/server.crt;
        ssl_certificate_key $DIR/tls/server.key;
        client_max_body_size 0;
        location / {
            proxy_pass http://127.0.0.1:$2;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host \$http_host;
        }
    }
}
C
    run tls nginx -p "$DIR" -c "$DIR/nginx.conf"
}

command_forget() {
    exec 3<>"/dev/tcp/127.0.0.1/$CACHE_PORT" || return 1
    printf 'flush_all\r\n' >&3
    local answer
    read -r answer <&3
    exec 3>&-
    [ "${answer%$'\r'}" = OK ]
}

command_few() {
    open "$(at 2)" && return 0
    local limits='s/^use = egg:swift#s3api/&\nmax_upload_part_num = 3/; s/^use = egg:swift#slo/&\nmax_manifest_segments = 3/'
    proxy_config few "$(at 2)" "s3api tempauth" | sed "$limits" >"$E/few.conf"
    run few swift-proxy-server "$E/few.conf" -v
    wait_for 60 curl -sSf "http://127.0.0.1:$(at 2)/healthcheck"
}

store_config() {
    cat >"$E/$1-server.conf" <<C
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $2
workers = 0
user = swift
swift_dir = $E
devices = $DIR/dev
mount_check = false
disable_fallocate = true
log_address = $DIR/nolog
log_level = WARNING
node_timeout = 60
conn_timeout = 10
[pipeline:main]
pipeline = $1-server
[app:$1-server]
use = egg:swift#$1
recon_cache_path = $DIR/cache
# A listing that was not told in time would stay wrong: nothing tells it later here.
container_update_timeout = 60
C
}

# proxy_config NAME PORT AUTH-PIPELINE [MORE-SECTIONS]
proxy_config() {
    cat <<C
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $2
workers = 0
user = swift
swift_dir = $E
log_address = $DIR/nolog
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl $3 copy container-quotas account-quotas slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
node_timeout = 60
recoverable_node_timeout = 60
conn_timeout = 10
[filter:tempauth]
use = egg:swift#tempauth
user_svc_admin = $PASSWORD .admin .reseller_admin
user_svc_reader = $PASSWORD
user_svc_awkward = $AWKWARD .admin
storage_url_scheme = http
[filter:s3api]
use = egg:swift#s3api
s3_acl = no
check_bucket_owner = no
allow_no_owner = true
dns_compliant_bucket_names = no
allow_multipart_uploads = yes
min_segment_size = 5242880
location = us-east-1
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$CACHE_PORT
[filter:slo]
use = egg:swift#slo
min_segment_size = 1
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
C
    local filter
    for filter in catch_errors gatekeeper healthcheck listing_formats bulk tempurl copy dlo symlink; do
        printf '[filter:%s]\nuse = egg:swift#%s\n' "$filter" "$filter"
    done
    for filter in container account; do
        printf '[filter:%s-quotas]\nuse = egg:swift#%s_quotas\n' "$filter" "$filter"
    done
    printf '%s' "${4:-}"
}
