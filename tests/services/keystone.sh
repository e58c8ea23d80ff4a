# Keystone v3 and an OpenStack Swift that trusts it. PORT: Keystone. PORT+1: the same behind TLS.
# PORT+2: the proxy with authtoken, which the catalogue names in region `RegionOne`; `Elsewhere`
# has no object-store. Domain Default, project `svc`: user `svc` (member), `reader` (may do
# nothing), and `awkward`, whose password is in DIR/ks/awkward. Domain `corp`, project `corp`:
# another `svc`, with the password `corppw`. User `idle` has no project. DIR/ks/credential holds the
# id and the secret of an application credential of the first svc. The command `revoke` makes every
# token void that was given before.
. "$here/swift.sh"
KEYSTONE=http://127.0.0.1:$PORT/v3
PHRASE="it's \"\$HOME\\ #:@/%41;&=?
änd more"

start() {
    swift_files || return 1
    keystone_files
    proxy_config keystone "$(at 2)" "s3api s3token authtoken keystoneauth" "$(keystone_filters)" \
        >"$E/keystone.conf"
    run keystone setpriv --reuid keystone --regid keystone --clear-groups \
        /usr/bin/python3 "$DIR/ks/serve.py" "$PORT" "$(at 2)" "$DIR/ks"
    run_stores
    run_tls "$(at 1)" "$PORT"
    wait_for 120 curl -sS "$KEYSTONE" || return 1
    # The proxy asks Keystone as it starts.
    run proxy swift-proxy-server "$E/keystone.conf" -v
    wait_stores && wait_for 60 curl -sSf "http://127.0.0.1:$(at 2)/healthcheck"
}

command_revoke() { revoke "$DIR/ks/revoke"; }

# Asks the server by a file, and waits until it has seen it.
revoke() {
    sleep 2.1
    touch "$1"
    for _ in $(seq 600); do
        # The proxy believes for a second what it has heard.
        [ -e "$1" ] || { sleep 1.2 && return 0; }
        sleep 0.1
    done
    return 1
}

keystone_filters() {
    cat <<C
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = $KEYSTONE
auth_url = $KEYSTONE
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = swift
password = $PASSWORD
delay_auth_decision = True
service_token_roles_required = False
cache = swift.cache
token_cache_time = 1
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
[filter:s3token]
use = egg:swift#s3token
auth_uri = $KEYSTONE
reseller_prefix = AUTH_
C
}

keystone_files() {
    [ -e "$DIR/ks" ] && return 0
    mkdir -p "$DIR/ks/fernet" "$DIR/ks/cred"
    printf %s "$PHRASE" >"$DIR/ks/awkward"
    local key
    for key in fernet/0 fernet/1 cred/0 cred/1; do
        head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >"$DIR/ks/$key"
    done
    cat >"$DIR/ks/keystone.conf" <<C
[database]
connection = sqlite:///$DIR/ks/ks.db
[fernet_tokens]
key_repository = $DIR/ks/fernet
[fernet_receipts]
key_repository = $DIR/ks/fernet
[credential]
key_repository = $DIR/ks/cred
[token]
provider = fernet
[identity]
password_hash_rounds = 4
C
    keystone_program >"$DIR/ks/serve.py"
    chown -R keystone:keystone "$DIR/ks"
    chmod 700 "$DIR/ks/fernet" "$DIR/ks/cred"
}

# Tables from the models, for the migrations take most of a minute; users by Keystone's own managers.
keystone_program() {
    cat <<'C'
import datetime, os, sys, types, uuid
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

port, swift_port, folder = sys.argv[1], sys.argv[2], sys.argv[3]
config = folder + "/keystone.conf"
sys.argv[1:] = ["--config-file", config]
fresh = not os.path.exists(folder + "/ks.db")

from keystone.server.flask import core
application = core.initialize_application(name="public", config_files=[config])

from keystone.common import provider_api, sql
from keystone.models import revoke_model
from oslo_utils import timeutils
providers = provider_api.ProviderAPIs


def user(name, password, domain, project=None, role=None):
    made = providers.identity_api.create_user(
        {"name": name, "password": password, "domain_id": domain, "enabled": True})
    if project:
        providers.assignment_api.add_role_to_user_and_project(made["id"], project, role)
    return made["id"]


def project(name, domain):
    new = {"id": uuid.uuid4().hex, "name": name, "domain_id": domain, "enabled": True,
           "description": "", "parent_id": domain, "is_domain": False}
    return providers.resource_api.create_project(new["id"], new)["id"]


def credential(owner, project, role):
    secret = "s'" + uuid.uuid4().hex
    new = {"id": uuid.uuid4().hex, "name": "backup", "user_id": owner, "project_id": project,
           "roles": [{"id": role}], "secret": secret, "unrestricted": False}
    providers.application_credential_api.create_application_credential(new)
    with open(folder + "/credential", "w") as out:
        out.write(new["id"] + "\n" + secret + "\n")


def fill():
    from keystone.cmd import bootstrap
    bootstrap.backends = types.SimpleNamespace(load_backends=lambda: None)  # they are, by now
    with sql.session_for_write() as session:
        sql.ModelBase.metadata.create_all(session.get_bind())
    boot = bootstrap.Bootstrapper()
    url = "http://127.0.0.1:%s/v3" % port
    boot.admin_username, boot.admin_password = "admin", "svcpw"
    boot.project_name, boot.admin_role_name = "admin", "admin"
    boot.region_id, boot.service_name = "RegionOne", "keystone"
    boot.public_url = boot.internal_url = boot.admin_url = url
    boot.bootstrap()
    providers.catalog_api.create_region({"id": "Elsewhere"})
    member = boot.member_role_id
    user("swift", "svcpw", "default", project("service", "default"), boot.admin_role_id)
    svc = project("svc", "default")
    owner = user("svc", "svcpw", "default", svc, member)
    user("reader", "svcpw", "default", svc, boot.reader_role_id)
    with open(folder + "/awkward") as text:
        user("awkward", text.read(), "default", svc, member)
    user("idle", "svcpw", "default")
    corp = {"id": uuid.uuid4().hex, "name": "corp", "enabled": True}
    providers.resource_api.create_domain(corp["id"], corp)
    user("svc", "corppw", corp["id"], project("corp", corp["id"]), member)
    service = {"id": uuid.uuid4().hex, "type": "object-store", "name": "swift", "enabled": True}
    providers.catalog_api.create_service(service["id"], service)
    endpoint = {"id": uuid.uuid4().hex, "service_id": service["id"], "interface": "public",
                "region_id": "RegionOne", "enabled": True,
                "url": "http://127.0.0.1:%s/v1/AUTH_$(tenant_id)s" % swift_port}
    providers.catalog_api.create_endpoint(endpoint["id"], endpoint)
    credential(owner, svc, member)


if fresh:
    fill()


class Server(WSGIServer):
    """One thread does everything: SQLite takes no two writers."""

    def service_actions(self):
        if not os.path.exists(folder + "/revoke"):
            return
        # Tokens know whole seconds: one that is asked for right after this must be good.
        before = timeutils.utcnow().replace(microsecond=0) - datetime.timedelta(seconds=1)
        providers.revoke_api.revoke(revoke_model.RevokeEvent(issued_before=before))
        os.unlink(folder + "/revoke")


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


make_server("127.0.0.1", int(port), application, Server, Quiet).serve_forever(0.1)
C
}
