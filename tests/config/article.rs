//! The configs of the article load unchanged, every shipped example runs, and so does the one on
//! each storage's page.

use nxs_backup::config::{Trust, load_as, storages};
use nxs_backup::plan::{self, Entry, Fetch};

use super::{Bed, checkout, whole};

#[test]
fn the_articles_configs_load_without_an_error() {
    let path = checkout().join("tests/fixtures/article/nxs-backup.conf");
    let config = load_as(&path, Trust::Anyone).unwrap();
    let problems = plan::problems(&config);
    let said: Vec<_> = problems.errors().map(|problem| problem.message.as_str()).collect();
    assert!(said.is_empty(), "{said:?}");
    let notes: Vec<_> = problems.notes().map(|problem| problem.message.as_str()).collect();
    let keys = ["general_path_to_all_tmp_dir"];
    assert_eq!(notes, keys.map(|key| format!("`{key}` has no effect in this version")));
}

#[test]
fn every_job_of_the_article_keeps_its_name_and_group() {
    let path = checkout().join("tests/fixtures/article/nxs-backup.conf");
    let config = load_as(&path, Trust::Anyone).unwrap();
    let plan = plan::resolve(&config, Fetch::All).unwrap_or_else(|problems| panic!("{problems}"));
    let names: Vec<_> = plan
        .jobs
        .iter()
        .map(|entry| match entry {
            Entry::Job(job) => (job.name.as_str(), Some(job.group)),
            Entry::Broken(broken) => (broken.name.as_str(), broken.group),
        })
        .collect();
    use plan::Group::{Databases, External, Files};
    let expected = [
        ("Bitrix-desc-files", Some(Files)),
        ("Bitrix-inc-files", Some(Files)),
        ("Bitrix-mysql", Some(Databases)),
        ("etcd-external", Some(External)),
        ("PROJECT-mysql", Some(Databases)),
    ];
    assert_eq!(names, expected);
    assert_eq!(plan.main.server_name, "SERVER_NAME");
    let told: Vec<_> = plan.main.notify.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(told, ["mail to project-tech@nixys.ru"]);
    let log = plan.main.log_file.unwrap();
    assert_eq!(log.to_str(), Some("/var/log/nxs-backup/nxs-backup.log"));
}

#[test]
fn every_shipped_example_loads_and_resolves_without_a_word() {
    let config = load_as(&checkout().join("nxs-backup.conf.example"), Trust::Anyone).unwrap();
    let problems = plan::problems(&config);
    assert!(problems.is_empty(), "{problems}");
    let plan = plan::resolve(&config, Fetch::All).unwrap_or_else(|problems| panic!("{problems}"));
    let files = std::fs::read_dir(checkout().join("conf.d.example")).unwrap().count();
    assert_eq!(plan.jobs.len(), files);
    let enabled = |index: &usize| whole(&plan, *index).enabled;
    let run: Vec<&str> = (0..files).filter(enabled).map(|index| plan.jobs[index].name()).collect();
    assert_eq!(run, ["docs"], "what the README's first command runs needs no server");
    let reached = (0..files).flat_map(|index| &whole(&plan, index).places);
    assert!(reached.into_iter().all(|place| place.kind == "local"), "`list` would dial a server");
}

#[test]
fn the_example_of_a_bitrix_server_loads_without_a_word() {
    let path = checkout().join("docs/examples/bitrix/nxs-backup.conf");
    let problems = plan::problems(&load_as(&path, Trust::Anyone).unwrap());
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn the_example_of_every_storage_can_be_switched_on() {
    let example =
        std::fs::read_to_string(checkout().join("conf.d.example/desc_files_everywhere.conf"));
    let elsewhere = |line: &str| line.contains("!env ") || line.contains("!file ");
    let on = |line: &&str| line.trim() != "enable: no";
    let here = |line: &str| match line.split_once(": !") {
        Some((key, _)) if elsewhere(line) => format!("{key}: secret\n"),
        _ => format!("{line}\n"),
    };
    let jobs: String = example.unwrap().lines().filter(on).map(here).collect();
    let main = "main: {server_name: web1}\njobs: !include [jobs.conf]\n";
    let bed = Bed::new(&[("main.conf", main), ("jobs.conf", &jobs)]);
    assert_eq!(bed.problems(), "");
    let plan = bed.plan();
    let shown: Vec<_> = whole(&plan, 0).places.iter().map(|place| place.kind).collect();
    assert_eq!(shown, storages().iter().map(|kind| kind.name).collect::<Vec<_>>());
}

#[test]
fn the_example_on_the_page_of_each_storage_loads_without_a_word() {
    let job = "main: {server_name: web1}\njobs:\n- job: site\n  type: desc_files\n  \
               sources: [{target: /var/www}]\n";
    for kind in storages() {
        let page = checkout().join(format!("docs/storages/{}.md", kind.name));
        let page = std::fs::read_to_string(page).unwrap();
        let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let example = example.unwrap_or_else(|| panic!("{}: no example", kind.name));
        let indented = example.trim_end().replace('\n', "\n  ");
        let text = match example.starts_with("storages:") {
            true => format!("{job}  {indented}"),
            false => example.to_owned(),
        };
        let bed = Bed::new(&[("main.conf", &text)]);
        let problems = bed.problems();
        assert_eq!(problems, "", "{}:\n{text}", kind.name);
    }
}
