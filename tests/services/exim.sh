# Exim, one daemon that delivers all mail for svc.test to the maildir DIR/mail, with the address in
# `Envelope-to`:
#   PORT    plain, offers STARTTLS, wants no login
#   PORT+1  wants STARTTLS and then a login (user svcmail, password svcpw)
#   PORT+2  TLS from the first byte, and a login
#   PORT+3  plain, offers no STARTTLS
# bounce@svc.test is refused for ever, defer@svc.test for now, every other domain for ever.
start() {
    tls
    mkdir -p "$DIR/mail" "$DIR/spool" "$DIR/log"
    chown -R Debian-exim: "$DIR/mail" "$DIR/spool" "$DIR/log"
    cat >"$DIR/exim.conf" <<C
primary_hostname = svc.test
spool_directory = $DIR/spool
log_file_path = $DIR/log/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = $(at 0) : $(at 1) : $(at 2) : $(at 3)
tls_on_connect_ports = $(at 2)
tls_advertise_hosts = \${if eq{\$received_port}{$(at 3)}{}{*}}
tls_certificate = $DIR/tls/server.crt
tls_privatekey = $DIR/tls/server.key
auth_advertise_hosts = \${if or{{eq{\$received_port}{$(at 0)}}{eq{\$received_port}{$(at 3)}}{eq{\$tls_in_cipher}{}}}{}{*}}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
host_lookup =
message_size_limit = 50M
smtp_accept_max = 100
smtp_accept_max_per_host = 100
smtp_accept_queue_per_connection = 0
never_users = root
begin acl
rcpt:
  deny  condition = \${if or{{eq{\$received_port}{$(at 1)}}{eq{\$received_port}{$(at 2)}}}}
        !authenticated = *
        message = authentication required
  deny  local_parts = bounce
        message = no such user
  defer local_parts = defer
        message = try again later
  accept domains = svc.test
  deny  message = relay not permitted
begin routers
all:
  driver = accept
  domains = svc.test
  transport = md
begin transports
md:
  driver = appendfile
  directory = $DIR/mail
  maildir_format
  create_directory
  directory_mode = 0755
  mode = 0644
  user = Debian-exim
  envelope_to_add
  return_path_add
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = \${if and{{eq{\$auth2}{svcmail}}{eq{\$auth3}{svcpw}}}}
  server_set_id = \$auth2
C
    serve_mail
}

serve_mail() {
    run exim exim4 -C "$DIR/exim.conf" -bdf -oP "$DIR/exim.pidfile"
    for port in 0 1 2 3; do
        wait_for 10 open "$(at $port)" || return 1
    done
}

# What `stop` took away.
command_again() { serve_mail; }
