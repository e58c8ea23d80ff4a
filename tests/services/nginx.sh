# nginx with the module dav-ext. PORT: http with basic auth (user `svcdav`), below it /tiny/ takes
# no body over 1 MiB. PORT+1: the same without locks, for a bearer token: DIR/token.
start() {
    local d=$DIR/dav
    mkdir -p "$d/root/tiny" "$d/tmp"
    htpasswd -bc "$d/basic" svcdav "$PASSWORD" 2>/dev/null
    printf 'a-token.of/odd+signs=' >"$DIR/token"
    chown -R www-data: "$d/root" "$d/tmp"
    nginx_config "$d" >"$d/nginx.conf"
    run nginx /usr/sbin/nginx -e "$d/error.log" -c "$d/nginx.conf"
    wait_for 10 open "$PORT" && wait_for 10 open "$(at 1)"
}

nginx_config() {
    local methods="dav_methods PUT DELETE MKCOL COPY MOVE; dav_access user:rw group:r;"
    cat <<C
load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
daemon off;
pid $1/nginx.pid;
error_log $1/error.log;
worker_processes 1;
user www-data;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path $1/tmp/b;
  proxy_temp_path $1/tmp/p;
  fastcgi_temp_path $1/tmp/f;
  uwsgi_temp_path $1/tmp/u;
  scgi_temp_path $1/tmp/s;
  client_max_body_size 0;
  dav_ext_lock_zone zone=locks:1m;
  root $1/root;
  server {
    listen 127.0.0.1:$PORT;
    auth_basic svc;
    auth_basic_user_file $1/basic;
    location / { $methods dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; dav_ext_lock zone=locks; }
    location /tiny/ { $methods dav_ext_methods PROPFIND OPTIONS; client_max_body_size 1m; }
  }
  server {
    listen 127.0.0.1:$(at 1);
    if (\$http_authorization != "Bearer $(cat "$DIR/token")") { return 401; }
    location / { $methods dav_ext_methods PROPFIND OPTIONS; }
  }
}
C
}
