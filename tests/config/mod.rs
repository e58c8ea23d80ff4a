//! Shipped files, and what bad configs get.

mod article;
mod golden;
mod limits;
mod meaning;
mod origins;
mod templates;
mod trust;

use std::fs;
use std::path::{Path, PathBuf};

use nxs_backup::config::{Config, Problems, Trust, load_as};
use nxs_backup::plan::{self, Entry, Fetch, Job, Plan};

/// A folder with config files; `main.conf` is the first of them.
struct Bed(tempfile::TempDir);

impl Bed {
    fn new(files: &[(&str, &str)]) -> Self {
        let bed = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = bed.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        bed
    }

    /// A main file with one job; `job` is indented by two.
    fn job(job: &str) -> Self {
        Self::new(&[("main.conf", &format!("main:\n  server_name: web1\njobs:\n{job}"))])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<Config, Problems> {
        load_as(&self.path("main.conf"), Trust::Anyone)
    }

    /// All problems as text, with paths relative to the bed.
    fn problems(&self) -> String {
        let problems = match self.load() {
            Ok(config) => plan::problems(&config),
            Err(problems) => problems,
        };
        self.relative(&problems.to_string())
    }

    fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    fn plan(&self) -> Plan {
        match plan::resolve(&self.load().unwrap(), Fetch::All) {
            Ok(plan) => plan,
            Err(problems) => panic!("{problems}"),
        }
    }
}

/// The job at `index`, which must be whole.
fn whole(plan: &Plan, index: usize) -> &Job {
    match &plan.jobs[index] {
        Entry::Job(job) => job,
        Entry::Broken(broken) => panic!("{}", broken.problems.join("\n")),
    }
}

/// The problems of the job at `index`, which must be broken.
fn broken(plan: &Plan, index: usize) -> String {
    match &plan.jobs[index] {
        Entry::Job(job) => panic!("{} is whole", job.name),
        Entry::Broken(broken) => broken.problems.join("\n"),
    }
}

/// A job that is right, named `name`, with `more` keys.
fn good_job(name: &str, more: &str) -> String {
    format!(
        "  - job: {name}\n    type: desc_files\n{more}    sources:\n    - target: [/srv]\n    \
         storages:\n    - storage: local\n      backup_dir: /backup/{name}\n      store: {{days: 3}}\n"
    )
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
