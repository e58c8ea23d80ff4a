//! What comes of programs that end well, badly, or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::base::chain;
use crate::sources::Setting;
use crate::stream::{ByteStream, DumpFacts, Error as Broken};

fn shell(script: &str) -> Call {
    let (tmp, hidden) = (std::env::temp_dir(), BTreeSet::new());
    let setting = Setting {
        job: "job",
        name: None,
        tmp_dir: &tmp,
        state_dir: &tmp,
        secret_env: &hidden,
        silence: Some(Duration::from_secs(2)),
    };
    Call::new(Path::new("/bin/sh"), "db", &setting).arg("-c").arg(script)
}

async fn all(call: Call, marks: &'static [&'static str]) -> (Result<Vec<u8>, Broken>, bool) {
    let judge = move |last: &Last| match marks {
        [] => Ok(DumpFacts::default()),
        marks => ends_with_mark(last, marks).map(|()| DumpFacts::default()),
    };
    let dump = call.dump(judge).unwrap();
    let bytes = dump.bytes.collect(64 << 20).await;
    (bytes.map(|bytes| bytes.to_vec()), dump.facts.get().await.is_ok())
}

#[tokio::test]
async fn what_a_program_prints_is_a_dump_once_it_has_ended_well() {
    let (bytes, known) = all(shell("printf 'data\\n-- Dump completed\\n'"), &["-- Dump"]).await;
    assert_eq!(bytes.unwrap(), b"data\n-- Dump completed\n");
    assert!(known);
}

#[tokio::test]
async fn a_program_that_fails_after_half_its_output_breaks_the_stream_with_its_last_words() {
    let (bytes, known) = all(shell("echo half; echo 'lost connection' >&2; exit 3"), &[]).await;
    let error = chain(&bytes.unwrap_err());
    assert_eq!(error, "db: sh failed (exit status: 3): lost connection");
    assert!(!known);
}

#[tokio::test]
async fn a_program_that_writes_half_and_exits_0_is_found_by_its_missing_end_mark() {
    let (bytes, _) = all(shell("echo half"), &["-- Dump completed"]).await;
    let error = chain(&bytes.unwrap_err());
    assert!(error.contains("ended without its end mark '-- Dump completed'"), "{error}");
}

#[tokio::test]
async fn an_end_mark_counts_only_near_the_end() {
    let script = "echo '-- Dump completed'; head -c 8192 /dev/zero";
    assert!(all(shell(script), &["-- Dump completed"]).await.0.is_err());
}

#[tokio::test]
async fn a_program_that_is_killed_says_by_which_signal() {
    let (bytes, _) = all(shell("kill -9 $$"), &[]).await;
    let error = chain(&bytes.unwrap_err());
    assert!(error.contains("signal: 9"), "{error}");
}

#[tokio::test]
async fn a_program_that_gives_nothing_is_ended_with_all_that_it_started() {
    let marker = tempfile::tempdir().unwrap();
    let script = format!("(sleep 4; touch {0}/alive) & sleep 60", marker.path().display());
    let (bytes, _) = all(shell(&script), &[]).await;
    let error = chain(&bytes.unwrap_err());
    assert!(error.contains("gave nothing for 2 s"), "{error}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!marker.path().join("alive").exists());
}

#[tokio::test]
async fn a_service_that_a_told_program_starts_goes_on_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("(sleep 9; touch {0}/alive) & echo started", folder.path().display());
    let begun = std::time::Instant::now();
    shell(&script).tell(Some(Duration::from_secs(60))).await.unwrap();
    let took = begun.elapsed().as_secs();
    tokio::time::sleep(Duration::from_secs(10 - took)).await;
    assert!(folder.path().join("alive").exists(), "it was ended after {took} s");
}

#[tokio::test]
async fn a_program_that_closes_its_output_and_does_not_end_is_ended() {
    let (bytes, _) = all(shell("echo data; exec >&-; sleep 60"), &[]).await;
    let error = chain(&bytes.unwrap_err());
    assert!(error.contains("gave nothing for 2 s"), "{error}");
}

#[tokio::test]
async fn a_dump_that_nobody_reads_ends_the_program() {
    let marker = tempfile::tempdir().unwrap();
    let script =
        format!("echo $$ > {0}/pid; while echo data; do sleep 0.1; done", marker.path().display());
    let mut dump = shell(&script).dump(|_| Ok(DumpFacts::default())).unwrap();
    dump.bytes.next().await.unwrap();
    let pid = std::fs::read_to_string(marker.path().join("pid")).unwrap();
    drop(dump);
    let proc = PathBuf::from(format!("/proc/{}", pid.trim()));
    for _ in 0..100 {
        if !proc.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there", proc.display());
}

#[tokio::test]
async fn a_lot_of_output_arrives_whole() {
    let (bytes, _) = all(shell("head -c 10000000 /dev/zero"), &[]).await;
    assert_eq!(bytes.unwrap().len(), 10_000_000);
}

#[tokio::test]
async fn a_query_gives_its_output_or_its_error() {
    let output = shell("echo 8.0").output(Duration::from_secs(5)).await.unwrap();
    assert_eq!(output, "8.0\n");
    let error = shell("echo no >&2; exit 1").output(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(chain(&error), "db: sh failed (exit status: 1): no");
    let error = shell("while :; do echo; sleep 0.2; done").output(Duration::from_secs(1)).await;
    assert!(chain(&error.unwrap_err()).contains("did not end within 1 s"));
}

#[tokio::test]
async fn a_program_that_is_fed_gets_everything() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("cat > {}/got", folder.path().display());
    shell(&script).feed(ByteStream::from_bytes("all of it")).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("got")).unwrap(), b"all of it");
}

#[tokio::test]
async fn a_program_whose_input_breaks_does_not_see_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("cat > /dev/null; touch {}/whole", folder.path().display());
    let (feeder, input) = ByteStream::channel(1);
    feeder.send("half".into()).await.unwrap();
    drop(feeder);
    let error = shell(&script).feed(input).await.unwrap_err();
    assert!(chain(&error).contains("its input broke"), "{error}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!folder.path().join("whole").exists());
}

#[test]
fn a_missing_program_names_its_packages() {
    let tool = Tool { names: &["no-such-dump"], deb: "some-client", rpm: "some", folders: &[] };
    let error = tool.require("db").unwrap_err();
    assert!(error.to_string().contains("package some-client"), "{error}");
}

#[test]
fn a_private_folder_goes_with_its_value_and_those_of_the_dead_are_swept() {
    let tmp = tempfile::tempdir().unwrap();
    let dead = tmp.path().join(".nxs-private-4194000-x");
    std::fs::create_dir(&dead).unwrap();
    let folder = PrivateFolder::new(tmp.path()).unwrap();
    assert!(!dead.exists());
    let path = folder.write("my.cnf", "password=x").unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    drop(folder);
    assert!(!path.exists());
}
