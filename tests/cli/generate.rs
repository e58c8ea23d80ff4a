//! `generate`, `completions` and `man`: what is written is what the program itself takes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nxs_backup::config;

use crate::support::bed::Bed;

fn write(bed: &Bed, name: &str, text: &str) {
    let path = bed.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(bed: &Bed, name: &str) -> String {
    fs::read_to_string(bed.path(name)).unwrap()
}

/// Fills each blank with the example beside it.
fn filled(text: &str) -> String {
    let line = |line: &str| match line.split_once("''") {
        Some((before, comment)) => {
            let value =
                comment.split_once("such as ").unwrap_or_else(|| panic!("no example: {line}"));
            format!("{before}{}", value.1)
        }
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn every_pair_of_type_and_storage_is_a_job_that_check_accepts() {
    // Debian has no tools of MongoDB.
    let bed = Bed::new().stub("mongodump", "true").stub("mongorestore", "true");
    write(&bed, "nxs-backup.conf", "main: {server_name: web1}\njobs: !include [conf.d/*.conf]\n");
    let mut pairs = 0;
    for kind in config::types() {
        for storage in config::storages() {
            let args = ["generate", "--type", kind.name, "--storage", storage.name];
            let text = bed.run(args).out().to_owned();
            let job = format!("{}-{}", kind.name, storage.name);
            let mut text = filled(&text).replace("PROJECT", &job);
            for file in ["/root/.ssh/id_ed25519", "/etc/mysql/my.cnf"] {
                text = text.replace(file, &bed.path("nxs-backup.conf").display().to_string());
            }
            assert!(text.contains(&format!("storage: {}\n", storage.name)), "{text}");
            write(&bed, &format!("conf.d/{job}.conf"), &text);
            pairs += 1;
        }
    }
    assert!(pairs >= 8);
    bed.run(["-c", "nxs-backup.conf", "check"]);
}

#[test]
fn what_is_not_filled_in_is_named_by_check() {
    let bed = Bed::new();
    let text = bed.run(["generate", "-T", "desc_files", "-S", "s3"]).out().to_owned();
    write(&bed, "nxs-backup.conf", "main: {server_name: web1}\njobs: !include [conf.d/*.conf]\n");
    write(&bed, "conf.d/site.conf", &text);
    let ran = bed.run(["-c", "nxs-backup.conf", "check"]).exit(2);
    for key in ["target", "bucket_name"] {
        assert!(ran.out().contains(key), "{key} is not named in\n{}", ran.out());
    }
}

#[test]
fn several_storages_are_written_in_order_under_any_of_their_names() {
    let bed = Bed::new();
    let text =
        bed.run(["generate", "--type", "desc_files", "--storages", "s3", "sftp"]).out().to_owned();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in\n{text}"));
    assert!(at("storage: s3") < at("storage: scp"), "{text}");
}

#[test]
fn a_generated_file_is_for_its_owner_alone_and_replaces_nothing_unasked() {
    let bed = Bed::new();
    let args = ["generate", "-T", "desc_files", "-S", "local", "-P", "conf.d/site.conf"];
    bed.run(args).stdout("conf.d/site.conf is written: fill in what is blank, then run `check`\n");
    let mode = bed.path("conf.d/site.conf").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    write(&bed, "conf.d/site.conf", "mine");
    let mode = bed.path("conf.d").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o750, "jobs hold passwords");
    bed.run(args).exit(2).stderr_has("conf.d/site.conf exists").stderr_has("--force");
    assert_eq!(read(&bed, "conf.d/site.conf"), "mine");
    bed.run([&args[..], &["--force"]].concat());
    assert!(read(&bed, "conf.d/site.conf").contains("type: desc_files"));
}

#[test]
fn wrong_words_get_the_nearest_right_one() {
    let bed = Bed::new();
    let ran = bed.run(["generate", "-T", "desk_files"]).exit(2);
    ran.stderr_has("unknown type `desk_files`, did you mean `desc_files`?");
    let ran = bed.run(["generate", "-T", "desc_files", "-S", "sfpt"]).exit(2);
    ran.stderr_has("unknown storage `sfpt`, did you mean `sftp`?");
    bed.run(["generate"]).exit(2).stderr_has("which type of job?");
}

#[test]
fn a_storage_without_a_name_or_named_twice_is_wrong_usage() {
    let bed = Bed::new();
    let generate = |storages: &[&str]| {
        let args = ["generate", "-T", "desc_files", "-S"];
        bed.run([&args[..], storages].concat()).exit(2).stdout("")
    };
    for empty in ["", " ", ","] {
        drop(generate(&[empty]).stderr_has("names no storage").stderr_has("There are: local, "));
    }
    drop(generate(&["local", "local"]).stderr_has("storage `local` is named twice"));
    drop(generate(&["scp,s3", "sftp"]).stderr_has("storage `scp` is named twice"));
}

#[test]
fn a_path_that_is_a_folder_gets_the_advice_to_name_a_file() {
    let bed = Bed::new().tree("conf.d", &[]);
    for path in ["conf.d", "conf.d/", "new/"] {
        for force in [&[][..], &["--force"]] {
            let ran = bed.run([&["generate", "-T", "desc_files", "-P", path], force].concat());
            let ran = ran.exit(2).stderr_has(&format!("{path} is a folder"));
            assert!(!ran.err().contains("--force"), "{}", ran.err());
            drop(ran.stderr_has("/site.conf"));
        }
    }
    assert!(bed.files("conf.d").is_empty() && !bed.path("new").exists());
}

#[test]
fn a_generated_main_config_is_good_once_it_has_a_name() {
    let bed = Bed::new();
    bed.run(["generate", "main", "--path", "nxs-backup.conf"]);
    let text = filled(&read(&bed, "nxs-backup.conf"));
    write(
        &bed,
        "nxs-backup.conf",
        &text.replace("/var/log/nxs-backup", &bed.path("log").display().to_string()),
    );
    let job = bed.run(["generate", "-T", "desc_files"]).out().to_owned();
    write(&bed, "conf.d/site.conf", &filled(&job));
    bed.run(["-c", "nxs-backup.conf", "check"]);
}

#[test]
fn completions_parse_in_their_shells() {
    let bed = Bed::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = bed.run(["completions", shell]).out().to_owned();
        assert!(text.contains("restore"), "{shell}: {text}");
        write(&bed, "completions", &text);
        let path = bed.path("completions");
        let parsed = Command::new(shell).arg("-n").arg(&path).output().unwrap();
        assert!(parsed.status.success(), "{shell}: {}", String::from_utf8_lossy(&parsed.stderr));
    }
}

#[test]
fn every_verb_has_a_manual_page_that_formats_without_a_warning() {
    let bed = Bed::new();
    bed.run(["man", "--to", "man"]);
    let help = bed.run(["--help"]).out().to_owned();
    let (_, verbs) = help.split_once("Commands:\n").unwrap();
    let verbs = verbs.lines().take_while(|line| line.starts_with("  "));
    let verbs: Vec<_> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() > 10, "{help}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let page = bed.path(&format!("man/nxs-backup-{verb}.1"));
        assert!(page.exists(), "no page for {verb}");
        let man = Command::new("man").args(["--warnings", "-l"]).arg(&page).output().unwrap();
        assert!(man.status.success() && man.stderr.is_empty(), "{verb}: {man:?}");
    }
    assert!(bed.path("man/nxs-backup.1").exists());
}
