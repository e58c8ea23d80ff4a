//! Words and options, and the verbs about the config.

use crate::cli::{config, job, local, two_sites};
use crate::support::bed::Bed;

#[test]
fn the_version_is_said() {
    Bed::new().run(["--version"]).stdout(concat!("nxs-backup ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn help_names_every_verb_and_every_exit_code() {
    let ran = Bed::new().run(["--help"]);
    let verbs = "start plan check config list show find restore verify prune pin unpin sweep";
    for verb in verbs.split(' ') {
        assert!(ran.out().contains(&format!("\n  {verb} ")), "no {verb} in\n{}", ran.out());
    }
    for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "130"] {
        assert!(ran.out().contains(&format!("\n  {code}  ")), "no {code} in\n{}", ran.out());
    }
}

#[test]
fn wrong_words_are_wrong_usage() {
    let bed = two_sites();
    let empty: [&str; 0] = [];
    bed.run(empty).exit(2).stderr("error: no verb was given: try --help\n");
    Bed::new().run(empty).exit(2).stderr_has("Usage: nxs-backup");
    bed.run(["-v"]).exit(2).stderr("error: no verb was given: try --help\n");
    bed.run(["frob"]).exit(2).stderr_has("unrecognized subcommand 'frob'");
    bed.run(["list", "--frob"]).exit(2).stderr_has("unexpected argument '--frob'");
    bed.run(["restore"]).exit(2).stderr_has("--to <DIR|->");
    bed.run(["verify", "--full", "--quick"]).exit(2).stderr_has("cannot be used with");
    bed.run(["verify", "--sample", "lots"]).exit(2).stderr_has("is not a share of 0% to 100%");
    bed.run(["list", "--at", "soon"]).exit(2).stderr_has("\"soon\" is no moment");
    assert!(!bed.path("state").exists() && !bed.path("store").exists());
}

#[test]
fn a_storage_that_no_job_has_is_wrong_usage_and_never_well() {
    let bed = two_sites();
    for verb in
        [&["list"][..], &["verify"], &["prune"], &["restore", "--to", "out"], &["find", "x"]]
    {
        let args = [verb, &["--storage", "ofsite"]].concat();
        let ran = bed.run(args).exit(2);
        ran.stderr_has("no storage is called \"ofsite\"").stderr_has("store");
    }
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let bed = Bed::new();
    bed.run(["-c", "none.conf", "list"]).exit(2).stderr_has("none.conf");
    bed.run(["-c", "none.conf", "check"]).exit(2).stderr_has("none.conf");
}

#[test]
fn check_says_yes_or_tells_all_errors() {
    let bed = two_sites();
    bed.run(["check"]).stdout("$DIR/nxs-backup.conf: no errors\n");
    bed.run(["-t"]).stdout("$DIR/nxs-backup.conf: no errors\n");
    let wrong = two_sites().config("main: {server_nam: a}\njobs: [{job: b, typ: desc_files}]\n");
    let ran = wrong.run(["check"]).exit(2);
    let ran = ran.stdout_has("server_nam").stdout_has("typ").stdout_has("nxs-backup.conf:1:8");
    drop(ran.stdout_has(" errors\n"));
    assert!(!bed.path("state").exists() && !bed.path("store").exists());
}

#[test]
fn check_names_missing_tools_beside_errors_of_the_config() {
    let site = job("sites", "$DIR/www/*", &[local("store", "days: 3")]);
    let db = |name: &str, store: &str| {
        let sources = "sources: [{target: [all], connect: {db_host: db1, db_user: u}}]";
        let storages = format!("storages: [{}]", local(name, store));
        format!("- {{job: {name}, type: mongodb, {sources}, {storages}}}\n")
            .replace("db_user: u", "db_user: u, db_password: p")
    };
    let bed = two_sites().config(&config(&[site, db("whole", "days: 3"), db("half", "dayz: 3")]));
    let ran = bed.run(["check"]).exit(2).stdout_has("dayz");
    drop(ran.stdout_has("job \"whole\": ").stdout_has("job \"half\": "));
    let text = config(&[db("whole", "days: 3")]).replace("server_name", "server_nam");
    let ran = bed.config(&text).run(["check"]).exit(2).stdout_has("server_nam");
    drop(ran.stdout_has("job \"whole\": "));
}

#[test]
fn check_refuses_what_start_refuses() {
    let main = "main: {server_name: web1, state_dir: $DIR/state}\n";
    let bed = Bed::new().config(&format!("{main}jobs: !include [conf.d/*.conf]\n"));
    for verb in ["check", "start"] {
        let ran = bed.run([verb]).exit(2).stderr_has("so nothing would be backed up");
        drop(ran.stderr_has("do the patterns of `jobs: !include [...]` match?"));
    }
    let off = job("sites", "$DIR/www/*", &[local("store", "days: 3")]);
    let off = off.replace("type:", "enable: no, type:");
    let bed = bed.config(&config(&[off]));
    let codes = ["check", "start"].map(|verb| bed.run([verb]).code());
    assert_eq!(codes[0], codes[1]);
}

#[test]
fn check_storage_tries_it_and_leaves_nothing() {
    let bed = two_sites();
    bed.run(["check", "storage", "store"]).stdout_has("ok     a range gives exactly its bytes");
    assert!(bed.files("store").is_empty());
    bed.run(["check", "storage", "sites/store"]);
    let ran = bed.run(["check", "storage", "nope"]).exit(2);
    ran.stderr("error: no storage is called \"nope\"\n  There are: sites/store.\n");
}

#[test]
fn check_connect_reaches_each_storage_once_and_says_which_is_broken() {
    let jobs = [
        job("one", "$DIR/www/*", &[local("good", "days: 3"), local("bad", "days: 3")]),
        job("two", "$DIR/www/*", &[local("good", "days: 3")]),
    ];
    let bed = two_sites().config(&config(&jobs)).file("bad", "a file");
    let ran = bed.run(["check", "--connect"]).exit(3);
    let ran =
        ran.stdout_has("nxs-backup.conf: no errors\n").stdout_has("ok     'good' $DIR/good\n");
    let ran = ran.stdout_has("BROKEN 'bad' $DIR/bad\n       bad: could not put .nxs-probe-");
    assert_eq!(ran.stdout_has("a file or a link lies where").out().matches("'good'").count(), 1);
    assert!(bed.files("good").is_empty());
    let said = bed.run(["check", "--connect", "--json"]).exit(3).json();
    assert_eq!(said["storages"][0]["problems"], serde_json::json!([]));
    let only_bad = config(&[job("one", "$DIR/www/*", &[local("bad", "days: 3")])]);
    let bed = two_sites().config(&only_bad).file("bad", "a file");
    bed.run(["check", "--connect"]).exit(1);
    two_sites().run(["check", "--connect"]).stdout_has("ok     'store' $DIR/store\n");
}

#[test]
fn config_show_tells_where_each_value_comes_from() {
    let bed = two_sites();
    let ran = bed.run(["config", "show", "sites"]);
    let line = ran.out().lines().find(|line| line.starts_with("compress ")).unwrap().to_owned();
    assert!(line.contains("zstd") && line.ends_with("$DIR/nxs-backup.conf:3"), "{line}");
    drop(ran.stdout_has("min_copies"));
    let shown = bed.run(["config", "show", "sites", "--json"]).json();
    assert!(shown.as_array().unwrap().iter().any(|line| line["value"] == "$DIR/store"));
    bed.run(["config", "show", "nope"]).exit(2).stderr_has("there is no job `nope`");
}

#[test]
fn the_schema_is_json_and_knows_the_keys() {
    let schema = Bed::new().run(["config", "schema"]).json();
    assert!(schema.to_string().contains("server_name") && schema["$schema"].is_string());
}

#[test]
fn what_a_value_names_does_not_reach_children() {
    let jobs = [job("sites", "$DIR/www/*", &[local("store", "days: 3")])];
    let spy = "env > $DIR/seen; echo $DIR/state";
    let text = config(&jobs)
        .replace("server_name: web1", "server_name: !env WHO")
        .replace("state_dir: $DIR/state", &format!("state_dir: !cmd \"{spy}\""));
    let bed = two_sites().config(&text).env("WHO", "hunter2").env("OTHER", "passed on");
    bed.run(["start"]);
    let seen = std::fs::read_to_string(bed.path("seen")).unwrap();
    assert!(seen.contains("OTHER=passed on") && !seen.contains("hunter2"), "{seen}");
    for verb in
        [&["config", "show", "sites"][..], &["check"], &["start", "-v"], &["list"], &["plan"]]
    {
        let ran = bed.run(verb.iter()).noisy();
        assert!(!ran.out().contains("hunter2") && !ran.err().contains("hunter2"), "{verb:?}");
    }
    let log = std::fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn secrets_come_from_elsewhere_and_are_never_shown() {
    let jobs = [job("sites", "$DIR/www/*", &[local("store", "days: 3")])];
    let text = config(&jobs).replace("server_name: web1", "server_name: !env WHO");
    let bed = two_sites().config(&text).env("WHO", "hunter2");
    bed.run(["start"]);
    let marker = std::fs::read_to_string(bed.path("store/.nxs-backup.json")).unwrap();
    assert!(marker.contains("hunter2"), "{marker}");
    let shown = bed.run(["config", "show", "sites"]);
    assert!(!shown.out().contains("hunter2"), "{}", shown.out());
    drop(shown);
    for (value, file) in
        [("!file $DIR/name", "hunter2\n"), ("'!cmd \"cat $DIR/name\"'", "hunter2\n")]
    {
        let value = value.trim_matches('\'');
        let text = config(&jobs).replace("server_name: web1", &format!("server_name: {value}"));
        let bed = two_sites().config(&text).file("name", file);
        bed.run(["start"]);
        assert!(
            std::fs::read_to_string(bed.path("store/.nxs-backup.json"))
                .unwrap()
                .contains("hunter2")
        );
    }
    let lost = two_sites().config(&text);
    lost.run(["start"]).exit(2).stderr_has("WHO");
}

#[test]
fn a_list_that_cannot_be_written_is_no_success() {
    let bed = two_sites();
    bed.run(["start"]);
    let to_full = |verb: &[&str]| {
        let mut command = bed.command(verb);
        command.stdout(std::fs::File::create("/dev/full").unwrap());
        let output = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("standard output could not be written: No space"), "{verb:?} {said}");
        output.status.code()
    };
    let explain = ["restore", "--explain", "--to", "out"];
    for verb in [
        &["list", "--json"][..],
        &["list"],
        &["config", "schema"],
        &["config", "show", "sites"],
        &["verify"],
        &["plan"],
        &["check"],
        &["--help"],
        &explain,
    ] {
        assert_eq!(to_full(verb), Some(1), "{verb:?}");
    }
    assert_eq!(to_full(&["restore", "--to", "out"]), Some(3));
    assert!(!bed.files("out").is_empty());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bed = two_sites();
    let mut command = bed.command(["config", "schema"]);
    let mut run = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(run.stdout.take());
    let output = run.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
