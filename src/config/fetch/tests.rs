//! Commands that misbehave.

use super::*;

fn fetcher(patience: Duration) -> Fetcher {
    let hidden = BTreeSet::from(["CARGO_PKG_NAME".to_owned()]);
    Fetcher { trust: Trust::Anyone, hidden, known: HashMap::new(), patience }
}

fn run(line: &str) -> Result<String, String> {
    fetcher(Duration::from_secs(20)).fetch(Tag::Cmd, line, PathBuf::new())
}

#[test]
fn a_command_gives_its_output_without_the_last_line_break() {
    assert_eq!(run("printf 'a\\nb\\n'"), Ok("a\nb".to_owned()));
    assert!(run("exit 4").unwrap_err().contains("failed (exit status: 4)"));
    assert!(run("true").unwrap_err().contains("gives nothing"));
    assert!(run("head -c 300000 /dev/zero").is_err());
    assert!(run("printf '\\377'").unwrap_err().contains("no UTF-8"));
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let started = Instant::now();
    let mut fetcher = fetcher(Duration::from_millis(300));
    for line in ["sleep 60 & sleep 60", "exec >&-; sleep 60"] {
        let error = fetcher.fetch(Tag::Cmd, line, PathBuf::new()).unwrap_err();
        assert!(error.contains("did not end within"), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn variables_with_secrets_do_not_reach_commands() {
    assert_eq!(run("echo \"[$CARGO_PKG_NAME]\""), Ok("[]".to_owned()));
    assert!(run("echo $CARGO_PKG_VERSION").is_ok());
}

#[test]
fn the_same_value_is_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut fetcher = fetcher(Duration::from_secs(20));
    let line = "echo x >> count; wc -l < count | tr -d ' '";
    for _ in 0..3 {
        let got = fetcher.fetch(Tag::Cmd, line, folder.path().to_owned());
        assert_eq!(got, Ok("1".to_owned()));
    }
}
