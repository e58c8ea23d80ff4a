//! What a command is told, and what of its output is believed.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::base::chain;

fn config(keys: serde_json::Value) -> Config {
    serde_json::from_value(keys).unwrap()
}

fn source(keys: serde_json::Value) -> Box<dyn Source> {
    let (config, hidden) = (config(keys), BTreeSet::from(["NXS_TEST_SECRET".to_owned()]));
    assert_eq!(config.problems(), []);
    let setting = Setting {
        job: "stuff",
        name: None,
        tmp_dir: Path::new("/var/tmp"),
        state_dir: Path::new("/nonexistent"),
        secret_env: &hidden,
        silence: None,
    };
    config.connect(&setting).unwrap()
}

async fn names(keys: serde_json::Value) -> std::result::Result<Vec<String>, String> {
    let found = source(keys).targets().await.map_err(|error| chain(&error))?;
    Ok(found.targets.into_iter().map(|target| target.name).collect())
}

async fn printed(keys: serde_json::Value, target: &str) -> std::result::Result<String, String> {
    let source = source(keys);
    let run = crate::base::RunId::new(jiff::Timestamp::UNIX_EPOCH, "web1", "stuff");
    let all = ["a".to_owned(), target.to_owned()];
    let occasion = Occasion { run: Some(&run), targets: &all };
    let Payload::Dump(dump) = source.open_on(&Target::named(target, "x"), &occasion).await.unwrap()
    else {
        panic!("a command's output is a dump")
    };
    let bytes = dump.bytes.collect(1 << 20).await.map_err(|error| chain(&error))?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn what_names_targets_twice_is_a_problem_of_the_config() {
    let problems = |keys| config(keys).problems().into_iter().map(|wrong| wrong.key);
    let both = serde_json::json!({"command": "x", "targets": ["a"], "targets_command": "y"});
    assert_eq!(problems(both).collect::<Vec<_>>(), ["targets_command"]);
    let twice = serde_json::json!({"command": "x", "targets": ["a", "b", "a"], "extension": "a/b"});
    assert_eq!(problems(twice).collect::<Vec<_>>(), ["targets[2]", "extension"]);
}

#[tokio::test]
async fn targets_come_from_a_list_a_command_or_the_job() {
    let json = serde_json::json!({"command": "x"});
    assert_eq!(names(json).await.unwrap(), ["stuff"]);
    let json = serde_json::json!({"command": "x", "targets": ["b", "a"]});
    assert_eq!(names(json).await.unwrap(), ["b", "a"]);
    let list = |line: &str| serde_json::json!({"command": "x", "targets_command": line});
    assert_eq!(
        names(list("printf 'one\\n\\n two 2\\r\\n\\xff\\n'")).await.unwrap(),
        ["one", " two 2", "%FF"]
    );
    for (line, said) in [
        ("true", "stuff: targets_command printed no name"),
        ("echo a; exit 3", "stuff: targets_command failed (exit status: 3), without a word"),
        ("echo a; echo a", "targets_command names a twice"),
        ("false | cat; echo", "targets_command failed"),
    ] {
        let error = names(list(line)).await;
        match line.starts_with("false") {
            // The pipe is no last word of the line here: only its own status counts.
            true => assert!(error.unwrap_err().contains("printed no name")),
            false => assert!(error.unwrap_err().contains(said), "{line}"),
        }
    }
}

#[tokio::test]
async fn a_name_is_never_read_as_shell_text() {
    let name = "a'; echo \"$(id)\" `id` $HOME \\ ü #";
    let json = serde_json::json!({"command": "printf '%s|' \"$TARGET\" \"$ATOM_NAME\" \"$JOB\" \
                                  \"$DATASET_NAME\" \"$TARGETS\" \"$ATOM_NAMES\"; echo ${#BACKUP_ID}"});
    let said = printed(json, name).await.unwrap();
    assert_eq!(said, format!("{name}|{name}|stuff|stuff|a\n{name}|a\n{name}|25\n"));
}

#[tokio::test]
async fn only_a_command_that_ends_well_and_prints_something_is_a_dump() {
    let line = |line: &str| serde_json::json!({"command": line});
    for (command, said) in [
        ("printf half; echo lost >&2; exit 1", "db: command failed (exit status: 1): lost"),
        ("printf half; kill -9 $$", "db: command failed (signal: 9 (SIGKILL)), without a word"),
        ("printf half; false | cat", "db: command failed (exit status: 1)"),
        ("no-such-program-at-all", "command failed (exit status: 127)"),
        (
            ":",
            "db: command ended well and printed nothing: if that is meant, say `allow_empty: yes`",
        ),
    ] {
        let error = printed(line(command), "db").await.unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let empty = serde_json::json!({"command": ":", "allow_empty": true});
    assert_eq!(printed(empty, "db").await.unwrap(), "");
    let noisy = printed(line("echo warning >&2; echo data"), "db").await;
    assert_eq!(noisy.unwrap(), "data\n");
}

#[tokio::test]
async fn a_command_that_prints_nothing_for_too_long_is_ended() {
    let json = serde_json::json!({"command": "echo a; sleep 60", "dump_timeout": "1s"});
    let error = printed(json, "db").await.unwrap_err();
    assert!(error.contains("command gave nothing for 1 s") && error.contains("`dump_timeout`"));
}

#[tokio::test]
async fn restore_command_gets_the_bytes_and_the_name_that_they_go_to() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("cat > {}/\"$TARGET-$INTO\"", folder.path().display());
    let source = source(serde_json::json!({"command": "x", "restore_command": line}));
    let Back::Load(loader) = source.back() else { panic!("it has a restore_command") };
    let stored = Stored { target: "a".into(), ext: "x".into(), raw_bytes: 5, server_version: None };
    loader.load(&stored, "b", ByteStream::from_bytes("bytes")).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("a-b")).unwrap(), "bytes");
    assert_eq!(loader.present(&stored, "nowhere").await.unwrap(), None);
    assert_eq!(loader.present(&stored, "stuff").await.unwrap().unwrap().name, "stuff");
}
