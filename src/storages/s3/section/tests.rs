//! What can be wrong with the keys of an `s3` storage, and what is made of them.

use super::*;

fn config() -> Config {
    Config { bucket_name: "bucket".to_owned(), backup_dir: "/a/b/".to_owned(), ..Config::default() }
}

fn own() -> Config {
    Config { endpoint: Some("https://s3.example:443/".to_owned()), ..config() }
}

fn blamed(config: &Config) -> Vec<String> {
    config.problems().into_iter().map(|wrong| wrong.key).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn what_can_be_known_without_dialling_is_a_problem_of_its_key() {
    let secret = || Some(Secret::new("x"));
    for (wrong, key) in [
        (Config { bucket_name: "a/b".to_owned(), ..config() }, "bucket_name"),
        (Config { bucket_name: String::new(), ..config() }, "bucket_name"),
        (Config { bucket_name: "a b c".to_owned(), ..config() }, "bucket_name"),
        (Config { backup_dir: "a/../b".to_owned(), ..config() }, "backup_dir"),
        (Config { endpoint: some("s3.example"), ..config() }, "endpoint"),
        (Config { endpoint: some("ftp://s3.example"), ..config() }, "endpoint"),
        (Config { endpoint: some("https://s3.example/bucket"), ..config() }, "endpoint"),
        (Config { endpoint: some("https://me:pw@s3.example"), ..config() }, "endpoint"),
        (Config { endpoint: some("https://s3.example:0x"), ..config() }, "endpoint"),
        (Config { region: some("eu west"), ..config() }, "region"),
        (Config { access_key_id: some("id"), ..config() }, "access_key_id"),
        (Config { secret_access_key: secret(), ..config() }, "secret_access_key"),
        (Config { session_token: secret(), ..config() }, "session_token"),
        (Config { kms_key_id: some("k"), sse: Some(Encryption::S3), ..config() }, "kms_key_id"),
        (Config { storage_class: some("COLD; x"), ..config() }, "storage_class"),
        (Config { ca_file: Some("ca.pem".into()), ..config() }, "ca_file"),
        (Config { proxy: Some(Secret::new("http://[")), ..config() }, "proxy"),
        (Config { s3fs_opts: some("-o no_check_certificate"), ..config() }, "s3fs_opts"),
        (Config { s3fs_opts: some("-o url=https://x.example"), ..own() }, "s3fs_opts"),
    ] {
        assert_eq!(blamed(&wrong), [key], "{wrong:?}");
    }
    assert!(blamed(&config()).is_empty() && blamed(&own()).is_empty());
}

#[test]
fn values_that_lie_elsewhere_are_no_problem_yet() {
    let pending = || some(PENDING);
    let config = Config {
        bucket_name: PENDING.to_owned(),
        backup_dir: PENDING.to_owned(),
        access_key_id: pending(),
        secret_access_key: Some(Secret::new(PENDING)),
        endpoint: pending(),
        region: pending(),
        storage_class: pending(),
        s3fs_opts: pending(),
        proxy: Some(Secret::new(PENDING)),
        ..Config::default()
    };
    assert_eq!(config.problems(), []);
}

#[test]
fn the_place_is_told_with_its_defaults_and_without_secrets() {
    assert_eq!(config().location(), "s3://bucket/a/b");
    assert_eq!(config().address(), ["aws", "bucket", "a/b"]);
    assert_eq!(own().location(), "https://s3.example/bucket/a/b");
    assert_eq!(own().address(), ["https://s3.example", "bucket", "a/b"]);
    let root = Config { backup_dir: "/".to_owned(), ..own() };
    assert_eq!(root.location(), "https://s3.example/bucket");
}

#[test]
fn options_of_the_old_mount_become_keys() {
    let old = Config {
        s3fs_opts: some("-o url=https://s3.example -o endpoint=eu-1 -o use_path_request_style"),
        ..config()
    };
    let target = old.target();
    assert_eq!(old.problems(), []);
    assert_eq!(old.address(), own().address());
    assert_eq!(target.region.as_deref(), Some("eu-1"));
    assert_eq!(target.path_style, Some(true));
}

#[test]
fn parts_of_all_storages_together_stay_within_their_memory() {
    for (peers, part, parts) in [(1, 8, 4), (2, 5, 4), (3, 5, 2), (4, 5, 2), (5, 5, 1), (8, 5, 1)] {
        let bytes = part_bytes(peers);
        assert_eq!((bytes / MIB, parts_in_memory(peers, bytes)), (part, parts), "{peers}");
        assert!(peers * bytes * parts_in_memory(peers, bytes) <= MEMORY);
    }
    let alone = Setting::alone("s3");
    assert_eq!(config().largest_object(&alone), Some(9_900 * 8 * MIB as u64));
}
