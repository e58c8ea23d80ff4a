# Apache with mod_dav_fs. PORT: http, PORT+1: https. Below each: /basic/ and /digest/ (user
# `svcdav`), /open/ for all, /small/ on a disk of 8 MiB, /frozen/ where nobody may write, /keep/
# where nobody may delete. Nonces of /digest/short/ live for one second. The CA is DIR/tls/ca.crt.
start() {
    local d=$DIR/dav modules=/usr/lib/apache2/modules
    mkdir -p "$d/root"/{basic,open,small,frozen,keep} "$d/root/digest/short" "$d/lock"
    tls
    mountpoint -q "$d/root/small" || mount -t tmpfs -o size=8m,mode=0777 none "$d/root/small"
    htpasswd -bc "$d/basic" svcdav "$PASSWORD" 2>/dev/null
    htpasswd -b "$d/basic" odd "$(printf "p'\"\$\\\\ %%#:@/\\nä")" 2>/dev/null
    printf 'svcdav:svc:%s\n' "$(printf 'svcdav:svc:%s' "$PASSWORD" | md5sum | cut -d' ' -f1)" >"$d/digest"
    printf 'odd:svc:%s\n' "$(printf "odd:svc:p'\"\$\\\\ %%#:@/\\nä" | md5sum | cut -d' ' -f1)" >>"$d/digest"
    chown -R www-data: "$d/root" "$d/lock"
    {
        for module in mpm_event authn_core authn_file authz_core authz_user auth_basic auth_digest \
            dav dav_fs dav_lock dir alias mime ssl socache_shmcb setenvif; do
            echo "LoadModule ${module}_module $modules/mod_$module.so"
        done
        apache_config "$d"
    } >"$d/httpd.conf"
    run apache /usr/sbin/apache2 -f "$d/httpd.conf" -D FOREGROUND
    wait_for 10 open "$PORT" && wait_for 10 open "$(at 1)"
}

apache_config() {
    cat <<C
ServerRoot $1
ServerName localhost
PidFile $1/httpd.pid
ErrorLog $1/error.log
Listen 127.0.0.1:$PORT
Listen 127.0.0.1:$(at 1)
User www-data
Group www-data
DefaultRuntimeDir $1
Mutex pthread
LimitXMLRequestBody 0
LimitRequestBody 0
AllowEncodedSlashes NoDecode
TypesConfig /etc/mime.types
DavLockDB $1/lock/db
DocumentRoot $1/root
DirectoryIndex disabled
<Directory $1/root>
  Require all granted
  Dav On
</Directory>
<Location /basic>
  AuthType Basic
  AuthName svc
  AuthUserFile $1/basic
  Require valid-user
</Location>
<Location /digest>
  AuthType Digest
  AuthName svc
  AuthDigestProvider file
  AuthUserFile $1/digest
  Require valid-user
</Location>
<Location /digest/short>
  AuthDigestNonceLifetime 1
</Location>
<Location /frozen>
  <LimitExcept GET HEAD OPTIONS PROPFIND>
    Require all denied
  </LimitExcept>
</Location>
<Location /keep>
  <Limit DELETE>
    Require all denied
  </Limit>
</Location>
<VirtualHost 127.0.0.1:$(at 1)>
  SSLEngine on
  SSLCertificateFile $1/../tls/server.crt
  SSLCertificateKeyFile $1/../tls/server.key
</VirtualHost>
C
}
