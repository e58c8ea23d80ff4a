//! Where keys come from besides the config: the command with a real bucket, keys for a time from
//! the STS of the same gateway, and a stub for what AWS runs beside a store to hand them out.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::cli::{config, job};
use crate::support::bed::Bed;
use crate::support::world::sh;

use super::command::offsite;
use super::{ceph, witness};

/// The port of a gateway that knows such keys.
fn sts() -> u16 {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| ceph().tell("start_sts"));
    ceph().port(3)
}

/// Keys that the gateway made for an hour; without the token they are none.
struct Temporary {
    id: String,
    secret: String,
    token: String,
}

impl Temporary {
    fn get(port: u16) -> Self {
        let answer = witness(port, "POST", "/?Action=GetSessionToken&Version=2011-06-15");
        let text = |name: &str| {
            let inner = answer.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
            inner.and_then(|rest| rest.split('<').next()).expect(&answer).to_owned()
        };
        Self {
            id: text("AccessKeyId"),
            secret: text("SecretAccessKey"),
            token: text("SessionToken"),
        }
    }
}

/// `tests/services/aws_stub.py`; it ends with this.
struct Stub {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Stub {
    fn of(keys: &Temporary) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services/aws_stub.py");
        let mut stub = Command::new("python3");
        stub.arg(script).arg(folder.path()).args([&keys.id, &keys.secret, &keys.token]);
        let mut child = stub.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap(), folder }
    }

    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// A bed whose storage names no keys, only `more`.
fn bed(folder: &str, more: &str) -> Bed {
    let keys = offsite(sts(), folder, "store: {days: 1}");
    let keys = keys.replace("access_key_id: svckey, secret_access_key: svcsecret, ", "");
    let keys = keys.replace("{days: 1}", &format!("{{days: 1}}{more}"));
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[keys])]));
    sh(&bed, "mkdir -p www; seq 99999 > www/numbers");
    bed
}

/// Stores, reads everything back, and shows the token to nobody.
fn works(bed: Bed, token: &str) {
    let ran = bed.run(["-v", "start"]).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    let log = std::fs::read_to_string(bed.path("log/nxs.log")).unwrap_or_default();
    assert!(!said.contains(token) && !log.contains(token), "{said}{log}");
    assert_eq!(ran.code(), Some(0), "{said}");
    bed.run(["verify", "--full"]).stdout_has("1 whole, 0 not");
}

#[test]
fn keys_with_a_session_token_come_from_config_environment_and_profile() {
    let keys = Temporary::get(sts());
    let Temporary { id, secret, token } = &keys;
    let given =
        format!(", access_key_id: '{id}', secret_access_key: '{secret}', session_token: '{token}'");
    works(bed("keys/config", &given), token);
    let told = bed("keys/env", "").env("AWS_ACCESS_KEY_ID", id);
    let told = told.env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_SESSION_TOKEN", token);
    works(told, token);
    let lines = format!(
        "[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n[backup]\n\
         aws_access_key_id = {id}\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
    );
    let profile = bed("keys/profile", ", profile: backup").file("home/.aws/credentials", &lines);
    works(profile, token);
    // And the token is needed.
    let half = given.replace(&format!(", session_token: '{token}'"), "");
    bed("keys/half", &half).run(["start"]).exit(1).noisy();
}

#[test]
fn keys_come_from_the_instance_and_from_the_container() {
    let keys = Temporary::get(sts());
    let stub = Stub::of(&keys);
    let instance = bed("keys/instance", "");
    works(instance.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &stub.at("")), &keys.token);
    let container = bed("keys/container", "").env("AWS_EC2_METADATA_DISABLED", "true");
    let container = container.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the container");
    works(container.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &stub.at("/container")), &keys.token);
}

#[test]
fn keys_come_for_a_web_identity() {
    let keys = Temporary::get(sts());
    let stub = Stub::of(&keys);
    let ca_file = stub.folder.path().join("ca.crt");
    let identity = bed("keys/web", &format!(", ca_file: {}", ca_file.display()));
    let identity = identity.file("identity", "who I am\n");
    let (file, proxy) = (identity.path("identity").display().to_string(), stub.at(""));
    let identity = identity.env("AWS_WEB_IDENTITY_TOKEN_FILE", &file).env("HTTPS_PROXY", &proxy);
    let identity = identity.env("AWS_ROLE_ARN", "arn:aws:iam::1:role/backup");
    works(identity.env("AWS_EC2_METADATA_DISABLED", "true"), &keys.token);
}

#[test]
fn who_has_no_keys_is_told_where_they_may_come_from() {
    bed("keys/none", "")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .run(["start"])
        .exit(1)
        .stderr_has("no keys were found: set `access_key_id`");
}

#[test]
fn objects_are_encrypted_with_the_key_of_kms_that_the_config_names() {
    let port = sts();
    let own = "access_key_id: svckey, secret_access_key: svcsecret, sse: kms, ";
    let sealed = bed("keys/kms", &format!(", {own}kms_key_id: testkey"));
    works(sealed, "no token here");
    let listed = witness(port, "GET", "/main?list-type=2&prefix=keys/kms");
    let (_, key) = listed.split_once("<Key>keys/kms/www").expect(&listed);
    let key = format!("/main/keys/kms/www{}", key.split('<').next().unwrap());
    let head = witness(port, "HEAD", &key);
    assert!(head.contains("x-amz-server-side-encryption: aws:kms"), "{head}");
    assert!(head.contains("key-id: testkey"), "{head}");
    let wrong = bed("keys/kms-wrong", &format!(", {own}kms_key_id: nokey"));
    wrong.run(["start"]).exit(1).noisy();
}
