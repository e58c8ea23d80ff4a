//! Who may log in, and whether the server is the one that is meant.

use std::path::PathBuf;

use nxs_backup::base::Secret;
use nxs_backup::storages::{Kind, scp};

use crate::live::scp::{config, made, put_small, refusal};
use crate::support::server::Server;

fn server() -> &'static Server {
    Server::shared("sshd")
}

fn by_key(name: &str, passphrase: Option<&str>) -> scp::Config {
    scp::Config {
        password: None,
        path_to_key: Some(server().path(name)),
        key_passphrase: passphrase.map(Secret::new),
        backup_dir: "keys".to_owned(),
        ..config(server(), 0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_log_in_with_and_without_a_passphrase() {
    for kind in ["ed25519", "rsa", "ecdsa"] {
        put_small(&*made(by_key(&format!("keys/{kind}"), None)), "x").await.unwrap();
        let locked = by_key(&format!("keys/locked_{kind}"), Some("svcpw"));
        put_small(&*made(locked), "x").await.unwrap();
    }
    put_small(&*made(by_key("keys/pem", Some("svcpw"))), "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_log_in_says_why() {
    let putty = server().path("putty.ppk");
    std::fs::write(&putty, "PuTTY-User-Key-File-3: ssh-ed25519\n").unwrap();
    let junk = server().path("junk");
    std::fs::write(&junk, "hello\n").unwrap();
    for (name, passphrase, words) in [
        ("stranger", None, "was refused; its public half must stand in the authorized_keys of"),
        ("keys/locked", None, "is locked by a passphrase: set `key_passphrase`"),
        ("keys/locked", Some("wrong"), "could not be unlocked: is `key_passphrase` right?"),
        ("keys/locked_rsa", Some("wrong"), "could not be unlocked: is `key_passphrase` right?"),
        ("keys/pem", Some("wrong"), "could not be unlocked: is `key_passphrase` right?"),
        ("keys/none", None, "could not be read: No such file or directory"),
        ("putty.ppk", None, "is a key of PuTTY: convert it"),
        ("junk", None, "is no private key that can be read here"),
    ] {
        let (kind, said) = refusal(&*made(by_key(name, passphrase))).await;
        assert_eq!(kind, Kind::Denied, "{said}");
        assert!(said.contains(words) && said.contains(name), "{name}: {said}");
        assert!(!said.contains("wrong"), "{said}");
    }
}

fn by_password(user: &str, password: &str, port: u16) -> scp::Config {
    scp::Config {
        user: user.to_owned(),
        password: Some(Secret::new(password)),
        backup_dir: "passwords".to_owned(),
        ..config(server(), port)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_log_in_whatever_they_hold_and_whoever_asks() {
    let odd = server().text("odd_password");
    assert!(odd.contains('\n') && odd.contains("'b\"c$d\\e f%g#h:i@j/k"), "{odd:?}");
    put_small(&*made(by_password("svcodd", &odd, 0)), "x").await.unwrap();
    put_small(&*made(by_password("svcsftp", "svcpw", 3)), "x").await.unwrap();
    put_small(&*made(by_password("svcshell", "svcpw", 3)), "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_ways_are_wanted_both_are_gone() {
    let key = Some(server().path("keys/ed25519"));
    let both = scp::Config { path_to_key: key, ..by_password("svcsftp", "svcpw", 6) };
    put_small(&*made(both.clone()), "x").await.unwrap();
    let (kind, said) = refusal(&*made(scp::Config { password: None, ..both })).await;
    assert_eq!(kind, Kind::Denied);
    assert!(said.contains("wants more"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_a_closed_account_is_denied() {
    let who = [("svcsftp", "wrong", 0), ("svcsftp", "wrong", 3), ("svcgone", "svcpw", 0)];
    for (user, password, port) in who {
        let (kind, said) = refusal(&*made(by_password(user, password, port))).await;
        assert_eq!(kind, Kind::Denied, "{said}");
        let words = format!("127.0.0.1 does not let `{user}` in: the password was refused");
        assert!(said.contains(&words) && !said.contains(password), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_key_is_refused_with_what_to_set() {
    let unknown = scp::Config { known_hosts: Some("/nonexistent".into()), ..config(server(), 0) };
    let (kind, said) = refusal(&*made(unknown)).await;
    assert_eq!(kind, Kind::Denied);
    let line = said.split("set host_key: '").nth(1).unwrap().trim_end_matches('\'');
    assert!(server().text("host_ed25519.pub").starts_with(line), "{said}");
    let fingerprint = said.split(' ').find(|word| word.starts_with("SHA256:")).unwrap();
    for pin in [line, fingerprint] {
        put_small(&*made(pinned(pin)), "x").await.unwrap();
    }
}

fn pinned(pin: &str) -> scp::Config {
    let host_key = Some(pin.to_owned());
    scp::Config { known_hosts: None, host_key, ..config(server(), 0) }
}

fn fingerprint(name: &str) -> String {
    let mut command = std::process::Command::new("ssh-keygen");
    let output = command.arg("-lf").arg(server().path(name)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_key_of_any_type_is_found_and_another_refused() {
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let name = format!("host_{kind}.pub");
        put_small(&*made(pinned(&server().text(&name))), "x").await.unwrap();
        put_small(&*made(pinned(&fingerprint(&name))), "x").await.unwrap();
    }
    for pin in [server().text("stranger.pub"), fingerprint("stranger.pub")] {
        let (kind, said) = refusal(&*made(pinned(&pin))).await;
        assert_eq!(kind, Kind::Denied);
        assert!(said.contains("is not the one that `host_key` names"), "{said}");
        assert!(said.contains(&fingerprint("host_ed25519.pub")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_any_type_that_a_file_knows_is_found() {
    for file in ["known_hosts", "known_ed25519", "known_rsa", "known_ecdsa", "known_hashed"] {
        let known_hosts = Some(server().path(file));
        let known = scp::Config { known_hosts, ..config(server(), 0) };
        put_small(&*made(known), "x").await.unwrap_or_else(|error| panic!("{file}: {error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_refused_even_where_new_ones_are_welcome() {
    for accept_new in [false, true] {
        let known_hosts = Some(server().path("known_wrong"));
        let wrong = scp::Config { known_hosts, accept_new, ..config(server(), 0) };
        let before = server().text("known_wrong");
        let (kind, said) = refusal(&*made(wrong)).await;
        assert_eq!(kind, Kind::Denied);
        assert!(said.contains("has changed"), "{said}");
        for name in ["stranger.pub", "host_ed25519.pub"] {
            assert!(said.contains(&fingerprint(name)), "{said}");
        }
        assert_eq!(server().text("known_wrong"), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_remembered_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("ssh/known_hosts");
    let known_hosts = Some(file.clone());
    let new = scp::Config { known_hosts, accept_new: true, ..config(server(), 0) };
    let storage = made(new.clone());
    let puts = ["a", "b", "c", "d", "e"].map(|name| put_small(&*storage, name));
    futures_util::future::try_join_all(puts).await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let line = format!("[127.0.0.1]:{} {}", server().port(0), server().text("host_ed25519.pub"));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(line.starts_with(text.trim_end()), "{text}");
    put_small(&*made(scp::Config { accept_new: false, ..new }), "x").await.unwrap();
}
