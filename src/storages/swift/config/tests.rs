//! What the config says and what it lacks.

use serde_json::{Value, json};

use super::*;
use crate::storages::swift::login::Proof;

fn config(keys: Value) -> Config {
    let mut all = json!({"container": "backups", "backup_dir": "web/1"});
    for (key, value) in keys.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn v3(more: Value) -> Config {
    let mut keys = json!({
        "auth_url": "https://key.example:5000/v3", "user": "u", "password": "p", "project": "site",
    });
    for (key, value) in more.as_object().unwrap() {
        keys[key] = value.clone();
    }
    config(keys)
}

/// What is wrong, with no variables around.
fn said(config: &Config) -> Vec<String> {
    let given = Given { config, env: &|_| None };
    let mut wrong = login::settle(&given).err().unwrap_or_default();
    wrong.extend(config.wrong_names());
    wrong.into_iter().map(|wrong| format!("{}: {}", wrong.key, wrong.message)).collect()
}

#[test]
fn what_is_missing_is_named_with_its_variable() {
    let all = said(&config(json!({"auth_url": "https://key.example/v3"})));
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(
        all[2],
        "project: `project` is missing: set it here, or OS_PROJECT_NAME in the environment"
    );
    let one = said(&config(json!({})));
    assert!(one.len() == 1 && one[0].contains("OS_AUTH_URL"), "{one:?}");
    let old = said(&config(json!({"auth_url": "http://a/auth/v1.0", "user": "a:b"})));
    assert!(old.len() == 1 && old[0].contains("OS_PASSWORD"), "{old:?}");
}

#[test]
fn what_can_never_work_is_said() {
    for (keys, should) in [
        (json!({"auth_url": "key.example"}), "must be a URL"),
        (json!({"auth_url": "ftp://key.example/v3"}), "must be a URL"),
        (json!({"auth_url": "http://key.example:0/v3"}), "port 0"),
        (json!({"auth_url": "http://key.example:99999/v3"}), "must be a URL"),
        (json!({"auth_url": "http://key.example/v2.0"}), "which is gone"),
        (json!({"auth_url": "http://me:pw@key.example/v3"}), "no user or password"),
        (json!({"auth_url": "http://a/auth/v1.0"}), "`project` means nothing"),
        (
            json!({"application_credential_id": "x", "application_credential_secret": "y"}),
            "does not go",
        ),
        (json!({"container": "a/b"}), "no folder"),
        (json!({"container": ""}), "`container` is missing"),
        (json!({"container": "c".repeat(248)}), "247 bytes"),
        (json!({"backup_dir": "a/../b"}), "plain path"),
    ] {
        let all = said(&v3(keys.clone()));
        let should = if should == "no folder" { "must not hold a slash" } else { should };
        assert!(all.len() == 1 && all[0].contains(should), "{keys}: {all:?}");
    }
    let key = "two\nlines";
    let old = config(json!({"auth_url": "http://a/auth/v1.0", "user": "a:b", "password": key}));
    assert!(said(&old)[0].contains("control character"));
    assert!(said(&v3(json!({"password": key, "backup_dir": "/web/1/"}))).is_empty());
}

#[test]
fn what_was_not_fetched_is_not_blamed() {
    for key in ["auth_url", "user", "password", "container", "project", "backup_dir", "proxy"] {
        let mut keys = json!({});
        keys[key] = json!(PENDING);
        let all = v3(keys).problems();
        assert!(all.is_empty(), "{key}: {all:?}");
    }
}

#[test]
fn variables_fill_in_and_the_config_decides_which_way() {
    let env = |name: &str| {
        let value = match name {
            "OS_AUTH_URL" => "https://key.example:5000",
            "OS_USERNAME" => "env-user",
            "OS_PASSWORD" => "env-password",
            "OS_PROJECT_NAME" => "env-project",
            "OS_APPLICATION_CREDENTIAL_ID" => "env-id",
            "OS_APPLICATION_CREDENTIAL_SECRET" => "env-secret",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let login = |config: &Config| login::settle(&Given { config, env: &env }).unwrap();
    let Login::V3 { url, proof: Proof::Application { id, .. }, .. } = login(&config(json!({})))
    else {
        panic!("the application credential of the environment is not taken");
    };
    assert_eq!((url.as_str(), id.as_str()), ("https://key.example:5000/v3", "env-id"));
    let Login::V3 { proof: Proof::Password { user, password, scope, .. }, .. } =
        login(&config(json!({"user": "own"})))
    else {
        panic!("a user in the config does not mean a password");
    };
    assert_eq!((user.as_str(), password.reveal()), ("own", "env-password"));
    assert_eq!((scope.project.as_str(), scope.domain.as_str()), ("env-project", "Default"));
}

#[test]
fn the_location_tells_folders_apart_and_no_secret() {
    assert_eq!(v3(json!({})).location(), "swift://key.example:5000/site/backups/web/1");
    let domain = v3(json!({"project_domain": "corp", "backup_dir": ""}));
    assert_eq!(domain.location(), "swift://key.example:5000/corp:site/backups");
    let old = json!({"auth_url": "http://a/auth/v1.0", "user": "acc:me", "password": "no-show"});
    assert_eq!(config(old).location(), "swift://a/acc/backups/web/1");
    assert_eq!(v3(json!({"backup_dir": "/web/1/"})).address(), v3(json!({})).address());
    assert!(!format!("{:?}", v3(json!({"proxy": "http://u:pw9@h"}))).contains("pw9"));
}

#[test]
fn lifetimes_are_read_as_people_write_them() {
    for (text, seconds) in [("90", 90), ("90d", 7_776_000), ("12 h", 43_200), ("2w", 1_209_600)] {
        assert_eq!(Lifetime::parse(text), Ok(Lifetime(Duration::from_secs(seconds))), "{text}");
    }
    for bad in ["", "d", "-1", "5x", "1.5d", "99999999999d"] {
        assert!(Lifetime::parse(bad).is_err(), "{bad} was taken");
    }
}

#[test]
fn four_segments_at_a_time_stay_within_64_mib() {
    let sizes: Vec<_> = [0, 1, 2, 3, 4, 9].map(|peers| segment_bytes(peers) >> 20).to_vec();
    assert_eq!(sizes, [8, 8, 5, 5, 5, 5]);
}
