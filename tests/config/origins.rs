//! `config show`, `config schema`, and values from elsewhere.

use nxs_backup::config::{self, Line};
use nxs_backup::plan::{self, Entry, Fetch};

use super::{Bed, broken, good_job, whole};

const TEXT: &str = "main:
  server_name: web1
  defaults: {verify: full}
  storage_connects:
  - name: offsite
    storage: local
    backup_dir: /off
jobs:
- job: a
  type: desc_files
  tmp_dir: !env NXS_BACKUP_TEST_NOBODY_SETS_THIS
  sources: {target: [/srv, /etc]}
  storages:
  - storage_name: offsite
    store: {days: 3, weeks: ''}
";

#[test]
fn show_names_the_line_that_gave_each_value() {
    let bed = Bed::new(&[("main.conf", TEXT)]);
    let lines = config::show(&bed.load().unwrap(), "a").unwrap();
    let line = |path: &str| {
        let line = lines.iter().find(|line| line.path == path).unwrap_or_else(|| panic!("{path}"));
        (line.value.clone(), bed.relative(&line.origin))
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(line("verify"), pair("full", "main.conf:3"));
    assert_eq!(line("sources.target[1]"), pair("/etc", "main.conf:12"));
    assert_eq!(line("storages[0].backup_dir"), pair("/off", "main.conf:7"));
    assert_eq!(line("storages[0].store.days"), pair("3", "main.conf:15"));
    let secret = "*** (!env NXS_BACKUP_TEST_NOBODY_SETS_THIS)";
    assert_eq!(line("tmp_dir"), pair(secret, "main.conf:11"));
    assert_eq!(line("rotation"), pair("before", "default"));
    assert_eq!(line("storages[0].shared"), pair("no", "default"));
    assert!(!lines.iter().any(|Line { path, .. }| path.ends_with("weeks")));
}

#[test]
fn show_masks_what_is_secret() {
    let text = "main: {server_name: a}
jobs:
- job: db
  type: mysql
  sources:
  - connect: {db_user: me, db_password: hunter2, url: 'https://me:hunter2@host/'}
  storages:
  - {storage: s3, secret_access_key: hunter2, access_key_id: AK}
";
    let bed = Bed::new(&[("main.conf", text)]);
    let lines = config::show(&bed.load().unwrap(), "db").unwrap();
    let json = serde_json::to_string(&lines).unwrap();
    assert!(!json.contains("hunter2") && json.contains("AK"), "{json}");
}

#[test]
fn show_knows_the_nearest_job() {
    let bed = Bed::job(&good_job("docs", ""));
    let problems = config::show(&bed.load().unwrap(), "doc").unwrap_err().to_string();
    assert!(problems.contains("there is no job `doc`, did you mean `docs`?"), "{problems}");
}

#[test]
fn the_schema_covers_main_jobs_and_storages() {
    let schema = config::schema();
    let main = &schema["properties"]["main"];
    for key in ["server_name", "loop_timeout", "smtp_password", "defaults"] {
        assert!(main["properties"][key].is_object(), "{key}");
    }
    assert_eq!(main["additionalProperties"], false);
    let jobs = schema["properties"]["jobs"]["items"]["anyOf"].as_array().unwrap();
    let of_type = |job: &&serde_json::Value| job["properties"]["type"]["const"] == "desc_files";
    let files = jobs.iter().find(of_type).unwrap();
    let source = &files["properties"]["sources"]["items"];
    assert!(
        source["properties"]["excludes"].is_object() && source["properties"]["name"].is_object()
    );
    let storages = files["properties"]["storages"]["items"]["anyOf"].as_array().unwrap();
    let of_kind =
        |storage: &&serde_json::Value| storage["properties"]["storage"]["const"] == "local";
    let storage = storages.iter().find(of_kind).unwrap();
    assert!(storage["properties"]["must_be_mounted"].is_object());
    let kinds = config::types();
    for kind in kinds {
        let types = jobs.iter().map(|job| job["properties"]["type"].to_string());
        let quoted = format!("\"{}\"", kind.name);
        assert!(types.into_iter().any(|words| words.contains(&quoted)), "{quoted} has no schema");
    }
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schema["$defs"][name].is_object(), "{name} is not defined");
    }
}

#[test]
fn values_come_from_variables_files_and_commands() {
    let bed = Bed::job(&good_job(
        "a",
        "    tmp_dir: !env CARGO_MANIFEST_DIR\n    verify: !file v\n    retries: !cmd \"echo 7\"\n",
    ));
    std::fs::write(bed.path("v"), "full\n").unwrap();
    let plan = bed.plan();
    let job = whole(&plan, 0);
    assert_eq!(job.tmp_dir, super::checkout());
    assert_eq!(job.verify, plan::Verify::Full);
    assert!(plan.secret_env.contains("CARGO_MANIFEST_DIR"));
}

#[test]
fn the_3_x_spelling_of_variables_works_for_whole_values_only() {
    let plan = Bed::job(&good_job("a", "    tmp_dir: ENV:CARGO_MANIFEST_DIR\n")).plan();
    assert_eq!(whole(&plan, 0).tmp_dir, super::checkout());
    let plan = Bed::job(&good_job("a", "    tmp_dir: /x/ENV:CARGO_MANIFEST_DIR\n")).plan();
    assert_eq!(whole(&plan, 0).tmp_dir.to_str(), Some("/x/ENV:CARGO_MANIFEST_DIR"));
}

#[test]
fn fetched_values_never_stand_in_errors() {
    for more in [
        "    verify: !cmd \"printf hunter2\"\n",
        "    split: !cmd \"printf hunter2\"\n",
        "    retries: !cmd \"printf hunter2\"\n",
        "    enable: !cmd \"printf hunter2\"\n",
        "    compress: !cmd \"printf hunter2\"\n",
    ] {
        let said = broken(&Bed::job(&good_job("a", more)).plan(), 0);
        assert!(said.replace("printf hunter2", "").find("hunter2").is_none(), "{said}");
    }
    let said = broken(&Bed::job(&good_job("a", "    tmp_dir: !cmd \"exit 3\"\n")).plan(), 0);
    assert!(said.contains("the command failed (exit status: 3)"), "{said}");
}

#[test]
fn only_jobs_that_are_about_to_run_fetch() {
    let bed = Bed::new(&[("main.conf", "")]);
    let touch = |name: &str| format!("    tmp_dir: !cmd \"touch {name}; echo /tmp\"\n");
    let off = good_job("off", &format!("    enable: no\n{}", touch("off")));
    let jobs = [good_job("a", &touch("a")), good_job("b", &touch("b")), off].concat();
    let text = format!("main: {{server_name: web1}}\njobs:\n{jobs}");
    std::fs::write(bed.path("main.conf"), text).unwrap();
    let config = bed.load().unwrap();
    let fetched = || ["a", "b", "off"].map(|name| bed.path(name).exists());
    assert!(plan::problems(&config).is_empty(), "{}", plan::problems(&config));
    config::show(&config, "a").unwrap();
    assert_eq!(fetched(), [false, false, false]);
    let plan = plan::resolve(&config, Fetch::Jobs(&|name, _| name == "b"))
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(fetched(), [false, true, false]);
    assert!(matches!(plan.jobs[0], Entry::Job(_)));
    plan::resolve(&config, Fetch::All).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(fetched(), [true, true, false]);
}

#[test]
fn what_is_not_fetched_passes_every_check_of_types() {
    let more = "    tmp_dir: !env X\n    enable: !env X\n    verify: !env X\n    split: !env X\n    \
                compress: !env X\n    timeout: !env X\n    min_copies: !env X\n    tags: [!env X]\n";
    let job = good_job("a", more).replace("/backup/a", "!env X").replace("days: 3", "days: !env X");
    let bed = Bed::job(&job);
    let said = bed.problems();
    assert!(!said.contains("error"), "{said}");
}
