//! Commands around a run and its targets.

mod restore;

use std::fs;
use std::process::{Command, Stdio};

use crate::support::bed::Bed;
use crate::support::world::{copies, sh, until};

/// A job of `command` with these hooks; its targets are `good` and `bad`.
fn bed(hooks: &str) -> Bed {
    let bed = Bed::new().config(&format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}}\n\
         jobs:\n- job: stuff\n  type: command\n  targets: [good, bad]\n  \
         command: '. $DIR/how; echo dump >> $DIR/said; echo data of $TARGET'\n  \
         restore_command: 'echo load >> $DIR/said; cat > $DIR/got-$INTO'\n  \
         storages:\n  - {{storage: local, name: store, backup_dir: $DIR/store, store: {{days: 2}}}}\n  \
         hooks:\n    {}\n",
        hooks.replace('\n', "\n    ")
    ));
    bed.file("how", ":").stub("say", SAY)
}

/// Writes what a hook is told to the file `said` of the bed, a line each.
const SAY: &str = "echo \"$1 job=$JOB=$DATASET_NAME target=$TARGET=$ATOM_NAME targets=$(echo $TARGETS) \
                   result=$RESULT error=$ERROR id=${#BACKUP_ID}\" >> said; echo out of $1; echo err of $1 >&2";

const ALL: &str = "before: say before\nafter: [say after, say again]\non_error: say on_error\n\
                   per_target: {before: say t-before, after: say t-after, on_error: say t-error}";

fn said(bed: &Bed) -> Vec<String> {
    let text = fs::read_to_string(bed.path("said")).unwrap_or_default();
    fs::remove_file(bed.path("said")).ok();
    text.lines().map(str::to_owned).collect()
}

fn words(bed: &Bed) -> Vec<String> {
    let first = |line: String| line.split(' ').next().unwrap().to_owned();
    said(bed).into_iter().map(first).collect()
}

#[test]
fn hooks_come_around_the_run_and_each_target_and_are_told_what_came_of_it() {
    let bed = bed(ALL);
    let ran = bed.run(["start", "--json"]);
    assert_eq!(
        said(&bed),
        [
            "before job=stuff=stuff target== targets= result= error= id=25",
            "t-before job=stuff=stuff target=good=good targets=good bad result= error= id=25",
            "dump",
            "t-after job=stuff=stuff target=good=good targets=good bad result=ok error= id=25",
            "t-before job=stuff=stuff target=bad=bad targets=good bad result= error= id=25",
            "dump",
            "t-after job=stuff=stuff target=bad=bad targets=good bad result=ok error= id=25",
            "after job=stuff=stuff target== targets=good bad result=ok error= id=25",
            "again job=stuff=stuff target== targets=good bad result=ok error= id=25",
        ]
    );
    let job = &ran.json()["jobs"][0];
    let names = |rows: &serde_json::Value| -> Vec<(String, u64)> {
        let row = |row: &serde_json::Value| {
            assert_eq!(row["error"], serde_json::Value::Null);
            (row["hook"].as_str().unwrap().to_owned(), row["line"].as_u64().unwrap())
        };
        rows.as_array().unwrap().iter().map(row).collect()
    };
    let wanted =
        [("before", 1), ("after", 1), ("after", 2)].map(|(name, line)| (name.to_owned(), line));
    assert_eq!(names(&job["hooks"]), wanted);
    assert_eq!(names(&job["targets"][0]["hooks"]).len(), 2);
    // The manifest has those that ran before it was written.
    let manifest = sh(&bed, "cat store/good/daily/*.manifest.json");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let hooks = manifest["hooks"].as_array().unwrap();
    let of = |at: usize| (hooks[at]["hook"].as_str(), hooks[at]["result"].as_str());
    assert_eq!(
        (of(0), of(1)),
        ((Some("before"), Some("ok")), (Some("per_target.before"), Some("ok")))
    );
    let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    for line in [
        "hook before: out of before",
        "hook before: err of before",
        "hook per_target.after: out of t-after",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
}

#[test]
fn a_failing_before_stops_the_job_and_after_still_runs() {
    let mut bed = bed(ALL);
    for day in 17..=18 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]).noisy();
    }
    said(&bed);
    let files = bed.files("store");
    let bed =
        bed.stub("say", &format!("{SAY}; [ $1 != before ] || {{ echo not mounted >&2; exit 5; }}"));
    let ran = bed.run(["start"]).exit(1).noisy();
    let problem = "stuff: hook before failed (exit status: 5): err of before; not mounted; so nothing was \
                   dumped and nothing rotated";
    assert!(ran.out().contains(problem), "{}", ran.out());
    let lines = said(&bed);
    let first: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(first, ["before", "on_error", "after", "again"]);
    assert!(
        lines[2].contains("result=failed error=stuff: hook before failed (exit status: 5)"),
        "{lines:?}"
    );
    assert_eq!(bed.files("store"), files);
}

#[test]
fn a_failing_per_target_before_fails_that_target_only() {
    let bed = bed(ALL).stub("say", &format!("{SAY}; [ $1$TARGET != t-beforebad ]"));
    let ran = bed.run(["start"]).exit(3).noisy();
    assert!(ran.out().contains("hook per_target.before failed (exit status: 1)"), "{}", ran.out());
    assert_eq!(
        words(&bed),
        [
            "before", "t-before", "dump", "t-after", "t-before", "t-error", "t-after", "on_error",
            "after", "again"
        ]
    );
    assert_eq!(copies(&bed).len(), 1);
}

#[test]
fn trouble_with_one_target_is_told_as_partial() {
    let bed = bed(ALL).file("how", "[ $TARGET = good ] || { echo no such database >&2; exit 2; }");
    bed.run(["start"]).exit(3).noisy();
    let lines = said(&bed);
    let of = |word: &str| lines.iter().find(|line| line.starts_with(word)).unwrap().clone();
    assert!(of("t-error").contains("target=bad=bad"), "{lines:?}");
    for word in ["on_error", "after"] {
        assert!(of(word).contains("result=partial"), "{lines:?}");
        assert!(of(word).contains("no such database"), "{lines:?}");
    }
}

#[test]
fn a_failing_after_or_on_error_is_an_error_of_its_own() {
    for bad in ["after", "t-after"] {
        let bed = bed(ALL).stub("say", &format!("{SAY}; [ $1 != {bad} ]"));
        let ran = bed.run(["start"]).exit(3).noisy();
        assert!(ran.out().contains("after failed (exit status: 1)"), "{}", ran.out());
        assert_eq!(copies(&bed).len(), 2);
        // A line that fails is the last of its hook.
        assert_eq!(words(&bed).contains(&"again".to_owned()), bad != "after");
    }
}

#[test]
fn a_hook_that_takes_too_long_is_ended_with_all_that_it_started() {
    let bed = bed("timeout: 1s\nbefore: 'sleep 300 & echo $! > $DIR/pid; wait'\nafter: say after");
    let ran = bed.run(["start"]).exit(1).noisy();
    assert!(
        ran.out().contains("hook before did not end within 1 s and was ended"),
        "{}",
        ran.out()
    );
    assert_eq!(words(&bed), ["after"]);
    sh(&bed, GONE);
}

const GONE: &str =
    "for i in $(seq 100); do kill -0 $(cat pid) 2>/dev/null || exit 0; sleep 0.1; done; exit 1";

#[test]
fn an_interruption_ends_a_hook_and_after_still_runs() {
    let bed = bed("before: 'sleep 300 & echo $! > $DIR/pid; wait'\nafter: say after");
    let mut command = bed.command(["start"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let has_pid = || !fs::read_to_string(bed.path("pid")).unwrap_or_default().trim().is_empty();
    until("a hook that runs", has_pid);
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    sh(&bed, GONE);
    let lines = said(&bed);
    assert!(lines.len() == 1 && lines[0].contains("result=failed"), "{lines:?}");
    assert_eq!(copies(&bed).len(), 0);
}

#[test]
fn hooks_of_main_defaults_hold_where_a_job_has_none_of_that_name() {
    let bed = Bed::new().stub("say", SAY).config(
        "main:\n  server_name: web1\n  state_dir: $DIR/state\n  log_file: $DIR/log/nxs.log\n  defaults:\n    \
         hooks: {before: say d-before, after: say d-after, per_target: {before: say d-t-before}}\n\
         jobs:\n- job: web\n  type: desc_files\n  sources: [{target: $DIR/src}]\n  \
         hooks: {after: say after, per_target: {after: say t-after}}\n  \
         storages: [{storage: local, backup_dir: $DIR/store, store: {days: 2}}]\n",
    );
    let bed = bed.tree("src", &[("a", "1")]);
    bed.run(["start"]);
    assert_eq!(words(&bed), ["d-before", "d-t-before", "t-after", "after"]);
}

#[test]
fn a_word_that_is_no_hook_is_an_error_with_its_line() {
    let ran = bed("befor: x\nper_target: {on_eror: y}").run(["check"]).exit(2).noisy();
    for said in [
        "unknown key `befor`, did you mean `before`?",
        "unknown key `on_eror`, did you mean `on_error`?",
    ] {
        assert!(ran.out().contains(said), "{}", ran.out());
    }
}
