//! `main.templates`: whole definitions that jobs share, and what is wrong with them.

use nxs_backup::config::{self, Line};
use nxs_backup::plan::{self, Entry, Fetch};

use super::{Bed, checkout, whole};

const MAIN: &str = "main:
  server_name: web1
  defaults: {verify: full, min_copies: 2}
  templates:
    site:
      job: site-${name}
      type: desc_files
      tmp_dir: !env TMP_OF_${name}
      tags: [site, '${kind}']
      min_copies: 3
      sources: {target: ['/var/www/${name}/$${x}', '/etc/${name}'], excludes: '${excludes}'}
      storages:
      - storage: local
        backup_dir: /backup/${name}
        store: {days: '${days}'}
jobs:
";

const GOOD: &str = "- template: site
  parameters:
    name: blog
    kind: php
    days: 7
    excludes: ['**/log', '**/tmp']
- job: shop
  template: site
  parameters: {name: shop, kind: x, days: !env DAYS, excludes: ''}
  min_copies: 5
  tags: own
";

#[test]
fn a_job_takes_what_it_does_not_say_from_its_template() {
    let bed = Bed::new(&[("main.conf", &format!("{MAIN}{GOOD}"))]);
    assert_eq!(bed.problems(), "");
    let config = bed.load().unwrap();
    let plan = plan::resolve(&config, Fetch::Never).unwrap_or_else(|problems| panic!("{problems}"));
    let (blog, shop) = (whole(&plan, 0), whole(&plan, 1));
    assert_eq!((&*blog.name, &*shop.name), ("site-blog", "shop"));
    assert_eq!(blog.tags, ["site", "php"]);
    assert_eq!(shop.tags, ["own"]);
    assert_eq!(blog.places[0].policy.days, 7);
    assert_eq!((blog.places[0].policy.min_copies, shop.places[0].policy.min_copies), (3, 5));
    assert_eq!(blog.verify, nxs_backup::plan::Verify::Full);
    assert_eq!(blog.places[0].location, "/backup/blog");
    let hidden = ["DAYS", "TMP_OF_blog", "TMP_OF_shop"];
    assert!(
        hidden.iter().all(|name| config.env_names().contains(*name)),
        "{:?}",
        config.env_names()
    );
}

#[test]
fn every_value_shows_the_line_that_gave_it() {
    let bed = Bed::new(&[("main.conf", &format!("{MAIN}{GOOD}"))]);
    let lines = config::show(&bed.load().unwrap(), "site-blog").unwrap();
    let line = |path: &str| {
        let line = lines.iter().find(|line| line.path == path).unwrap_or_else(|| panic!("{path}"));
        (line.value.clone(), bed.relative(&line.origin))
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    // A part of a text: the template's line. A whole value: the parameter's.
    assert_eq!(line("storages[0].backup_dir"), pair("/backup/blog", "main.conf:14"));
    assert_eq!(line("sources.target[0]"), pair("/var/www/blog/${x}", "main.conf:11"));
    assert_eq!(line("storages[0].store.days"), pair("7", "main.conf:21"));
    assert_eq!(line("sources.excludes[1]"), pair("**/tmp", "main.conf:22"));
    assert_eq!(line("tmp_dir"), pair("*** (!env TMP_OF_blog)", "main.conf:8"));
    assert_eq!(line("min_copies"), pair("3", "main.conf:10"));
    assert_eq!(line("verify"), pair("full", "main.conf:3"));
    assert!(!lines.iter().any(|Line { path, .. }| path.starts_with("parameters")));
    let lines = config::show(&bed.load().unwrap(), "shop").unwrap();
    let days = lines.iter().find(|line| line.path == "storages[0].store.days").unwrap();
    assert_eq!((&*days.value, &*bed.relative(&days.origin)), ("*** (!env DAYS)", "main.conf:25"));
}

#[test]
fn what_is_wrong_with_a_template_or_its_parameters_has_a_place() {
    let job = |text: &str| format!("{MAIN}- {}\n", text.replace('\n', "\n  "));
    let all = "name: a, kind: k, days: 1, excludes: e";
    for (text, said) in [
        (
            job("template: sit\nparameters: {}"),
            "error: `main.templates` has no template `sit`, did you mean `site`?\n  --> main.conf:17:13 (jobs[0])",
        ),
        (
            job("template: site\nparameters: {name: a, kind: k, days: 1}"),
            "error: the parameter `excludes` of this template is missing in `parameters`; write `$${excludes}` where the text itself is meant\n  --> main.conf:11:",
        ),
        (
            job(&format!("template: site\nparameters: {{{all}, nmae: b}}")),
            "error: the template uses no parameter `nmae`, did you mean `name`?\n  --> main.conf:18:",
        ),
        (
            job("template: site\nparameters: {name: [a], kind: k, days: 1, excludes: e}"),
            "the parameter `name` is a list, which no text can hold",
        ),
        (
            job("template: site\nparameters: {name: !env X, kind: k, days: 1, excludes: e}"),
            "the parameter `name` lies elsewhere, so it can only be a whole value",
        ),
        (
            job("template: site\nparameters: x"),
            "`parameters` is a mapping of names, not a single value",
        ),
        (
            job(
                "job: a\ntype: desc_files\nparameters: {a: b}\nsources: {target: /a}\nstorages: {storage: local, backup_dir: /b, store: {days: 1}}",
            ),
            "`parameters` are for a `template`, and this job names none",
        ),
        (
            MAIN.replace("/etc/${name}", "/etc/${name:-x}")
                + &format!("- {{template: site, parameters: {{{all}}}}}\n"),
            "`${name:-x}` is no parameter: write `$${` where the text itself is meant",
        ),
        (
            MAIN.replace("      min_copies: 3", "      template: other") + "- {job: x}\n",
            "`template` stands in jobs: a template builds on no other one",
        ),
        (
            MAIN.replace("    site:", "    word: x\n    site:") + "- {job: x}\n",
            "a template is a mapping of a job's keys, not a single value",
        ),
        (MAIN.replace("verify: full", "template: site") + "- {job: x}\n", "unknown key `template`"),
    ] {
        let problems = Bed::new(&[("main.conf", &text)]).problems();
        let problems = problems.replace("   -->", "  -->");
        assert!(problems.contains(said), "{said}\n{problems}");
        let more = problems.lines().filter(|line| line.starts_with("error")).count();
        assert!(more == 1 || !text.contains("template: site\n"), "only one is said: {problems}");
    }
}

#[test]
fn an_error_in_one_job_of_a_template_fails_that_job_alone() {
    let bad =
        "- {job: bad, template: site, parameters: {name: b, kind: k, days: x, excludes: ''}}\n";
    let text = format!("{MAIN}{GOOD}{bad}");
    let bed = Bed::new(&[("main.conf", &text)]);
    let plan = plan::resolve(&bed.load().unwrap(), Fetch::Never).unwrap();
    let kinds: Vec<bool> = plan.jobs.iter().map(|entry| matches!(entry, Entry::Job(_))).collect();
    assert_eq!(kinds, [true, true, false]);
}

#[test]
fn the_examples_on_the_pages_load_without_a_word() {
    for name in ["sources/external", "sources/command", "hooks", "templates"] {
        let page = checkout().join(format!("docs/{name}.md"));
        let page = std::fs::read_to_string(page).unwrap();
        let examples: Vec<_> =
            page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty(), "{name}: no example");
        for example in examples {
            let text = match example.starts_with("main:") {
                true => example.to_owned(),
                false => format!("main: {{server_name: web1}}\njobs:\n{example}"),
            };
            let problems = Bed::new(&[("main.conf", &text)]).problems();
            assert_eq!(problems, "", "{name}:\n{text}");
        }
    }
}
