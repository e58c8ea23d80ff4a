//! What a source says of itself without a server.

use super::*;

fn config(yaml_as_json: &str) -> Config {
    serde_json::from_str(yaml_as_json).unwrap()
}

fn keys(config: &Config) -> Vec<String> {
    config.problems().into_iter().map(|wrong| wrong.key).collect()
}

#[test]
fn the_keys_of_2_x_and_3_x_are_read() {
    let old = config(
        r#"{"connect": {"db_host": "db", "db_port": 5433, "db_user": "u", "db_password": "p"},
            "target": ["all"], "excludes": ["template0", "template1"], "extra_keys": "--no-owner"}"#,
    );
    assert_eq!(keys(&old), [] as [&str; 0]);
    assert_eq!(old.address().as_deref(), Some("db:5433"));
    assert_eq!(old.wanted(), ["all", "globals"]);
    let newer = config(
        r#"{"connect": {"socket": "/run/postgresql", "psql_ssl_crl": "/crl", "psql_ssl_root_cert":
            "/ca", "psql_ssl_mode": "prefer"}, "target_dbs": ["a"], "db_extra_keys": ["-O"]}"#,
    );
    assert_eq!(keys(&newer), [] as [&str; 0]);
    assert_eq!(newer.wanted(), ["a"]);
}

#[test]
fn the_format_may_stand_among_the_extra_keys() {
    let of = |more: &str| {
        config(&format!(r#"{{"connect": {{"db_host": "db"}}, "target": ["a"]{more}}}"#)).format()
    };
    assert_eq!(of(""), Format::Plain);
    assert_eq!(of(r#", "format": "custom""#), Format::Custom);
    assert_eq!(of(r#", "extra_keys": "-Fc -O""#), Format::Custom);
}

#[test]
fn what_would_back_up_nothing_is_wrong() {
    let nothing = config(r#"{"connect": {"db_host": "db"}}"#);
    assert_eq!(keys(&nothing), ["target"]);
    let globals = config(r#"{"connect": {"db_host": "db"}, "globals": true}"#);
    assert_eq!(keys(&globals), [] as [&str; 0]);
}
