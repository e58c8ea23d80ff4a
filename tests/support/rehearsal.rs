//! A stage for whole jobs in this process: storages in memory that fail when told to, a source
//! that says what it is told to, a clock that is set by hand.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Zoned;
use nxs_backup::base::{Cancel, FixedClock, Silent};
use nxs_backup::catalogue::{Manifest, survey};
use nxs_backup::plan::{
    Entry, Group, Increments, Job, JobSource, Main, Place, Plan, Require, Verify,
};
use nxs_backup::report::{PlaceOutcome, Report};
use nxs_backup::retention::{Policy, Rotation};
use nxs_backup::run::{Env, Selection, start};
use nxs_backup::sources::{Back, Error, Files, Found, Kind, Result, Source, Target};
use nxs_backup::storages::Memory;
use nxs_backup::storages::layers::Flaky;
use nxs_backup::stream::{ByteStream, Codec, Dump, DumpFacts, Payload};
use tempfile::TempDir;

/// What a target does when it is opened.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These bytes, and a good end.
    Bytes(Vec<u8>),
    /// These bytes, then a failure in these words.
    Breaks(Vec<u8>, &'static str),
    /// These bytes, then nothing: the producer vanishes.
    Vanishes(Vec<u8>),
    /// It cannot be opened.
    Refuses(&'static str),
}

/// Targets and what they do, to be changed between runs.
pub(crate) type Script = Arc<Mutex<Vec<(String, Says)>>>;

/// A source that follows a script.
struct Scripted(Script);

#[async_trait]
impl Source for Scripted {
    async fn targets(&self) -> Result<Found> {
        let names = self.0.lock().unwrap().clone();
        let target = |(name, _): (String, Says)| Target {
            part: vec![name.clone().into_bytes()],
            base: name.clone().into_bytes(),
            ext: "sql".into(),
            path: None,
            name,
        };
        let targets = names.into_iter().map(target).collect();
        Ok(Found { targets, ..Found::default() })
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        let script = self.0.lock().unwrap().clone();
        let (_, says) = script.into_iter().find(|(name, _)| *name == target.name).unwrap();
        let (feeder, stream) = ByteStream::channel(2);
        let (bytes, end) = match says {
            Says::Refuses(problem) => {
                let subject = target.name.clone();
                return Err(Error {
                    kind: Kind::Tool,
                    subject,
                    problem: problem.into(),
                    source: None,
                });
            }
            Says::Bytes(bytes) => (bytes, Ok(())),
            Says::Breaks(bytes, problem) => (bytes, Err(Some(problem))),
            Says::Vanishes(bytes) => (bytes, Err(None)),
        };
        tokio::spawn(async move {
            for chunk in bytes.chunks(1 << 20) {
                if feeder.send(Bytes::copy_from_slice(chunk)).await.is_err() {
                    return;
                }
            }
            match end {
                Ok(()) => feeder.finish().await.ok(),
                Err(Some(problem)) => {
                    feeder.fail(nxs_backup::stream::Error::new(problem)).await;
                    None
                }
                Err(None) => None,
            };
        });
        Ok(Payload::Dump(Dump::new(stream, DumpFacts::default())))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Plain
    }
}

/// A server with one job, its storages and its clock.
pub(crate) struct Rehearsal {
    folder: TempDir,
    clock: Arc<FixedClock>,
    pub(crate) script: Script,
    pub(crate) stores: Vec<(String, Flaky<Memory>, Memory)>,
    pub(crate) policy: Policy,
    pub(crate) verify: Verify,
    pub(crate) require: Require,
    pub(crate) split: Option<u64>,
    pub(crate) spool: bool,
    /// Where temporary files go; by default a folder of the stage.
    pub(crate) tmp_dir: Option<PathBuf>,
    pub(crate) codec: Codec,
    /// A folder that is read instead of what the script says, and what is left out of it.
    pub(crate) tree: Option<(PathBuf, Vec<String>)>,
    /// How copies build on one another.
    pub(crate) increments: Option<Increments>,
    pub(crate) server: String,
    /// The job's name and the names that it had before.
    pub(crate) job: (String, Vec<String>),
    pub(crate) cancel: Cancel,
}

impl Rehearsal {
    /// Makes a server whose job stores a small `db` on storages of these names.
    pub(crate) fn new(stores: &[&str]) -> Self {
        let store = |name: &&str| {
            let memory = Memory::default();
            ((*name).to_owned(), Flaky::new(memory.clone()), memory)
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(FixedClock::at(day("2026-11-18"))),
            script: Arc::new(Mutex::new(vec![("db".into(), Says::Bytes(b"dump".repeat(1000)))])),
            stores: stores.iter().map(store).collect(),
            policy: Policy {
                days: 3,
                weeks: 0,
                months: 0,
                last: 0,
                min_copies: 1,
                rotation: Rotation::Before,
            },
            verify: Verify::List,
            require: Require::All,
            split: None,
            spool: false,
            tmp_dir: None,
            codec: Codec::Zstd,
            tree: None,
            increments: None,
            server: "web1".into(),
            job: ("dump".into(), Vec::new()),
            cancel: Cancel::default(),
        }
    }

    /// Says what targets there are and what they do.
    pub(crate) fn says(&self, targets: &[(&str, Says)]) {
        let targets = targets.iter().map(|(name, says)| ((*name).to_owned(), says.clone()));
        *self.script.lock().unwrap() = targets.collect();
    }

    /// Sets the clock to three in the night of a day.
    pub(crate) fn on(&self, date: &str) -> &Self {
        self.clock.set(day(date));
        self
    }

    /// Runs everything once.
    pub(crate) async fn run(&self) -> Report {
        start(&self.plan(), &Selection::All, &self.env()).await.unwrap()
    }

    /// What the config would be.
    pub(crate) fn plan(&self) -> Plan {
        let place = |(name, flaky, _): &(String, Flaky<Memory>, Memory)| Place {
            name: name.clone(),
            kind: "memory",
            location: format!("memory of {name}"),
            storage: Arc::new(flaky.clone()),
            largest_object: None,
            policy: self.policy,
            shared: false,
            fingerprint: name.clone(),
        };
        let source = JobSource {
            name: None,
            folder: None,
            tools: Vec::new(),
            source: self.source(),
            compression: self.codec.by_default(),
        };
        let job = Job {
            name: self.job.0.clone(),
            kind: "command",
            group: Group::External,
            enabled: true,
            formerly: self.job.1.clone(),
            sources: vec![source],
            places: self.stores.iter().map(place).collect(),
            verify: self.verify,
            increments: self.increments,
            split: self.split,
            spool: self.spool,
            require: self.require,
            parallel: 1,
            limits: Default::default(),
            timeout: None,
            tmp_dir: self.tmp_dir.clone().unwrap_or_else(|| self.folder.path().to_owned()),
            tags: Vec::new(),
            notes: Vec::new(),
            hooks: nxs_backup::plan::Hooks::default(),
        };
        let main = Main {
            server_name: self.server.clone(),
            formerly: Vec::new(),
            state_dir: self.state_dir(),
            lock_wait: std::time::Duration::from_secs(10),
            log_file: None,
            log_json: false,
            log_rotation: None,
            log_keep: 30,
            journald: None,
            textfile: None,
            notify: Vec::new(),
            notes: Vec::new(),
        };
        Plan { main, jobs: vec![Entry::Job(Box::new(job))], secret_env: Default::default() }
    }

    fn source(&self) -> Box<dyn Source> {
        match &self.tree {
            None => Box::new(Scripted(self.script.clone())),
            Some((path, excludes)) => {
                let globs = vec![path.to_str().unwrap().to_owned()];
                Box::new(Files::new(None, globs, excludes).unwrap())
            }
        }
    }

    /// Sets the clock to a moment, such as `2026-11-18T03:00:00[UTC]`.
    pub(crate) fn at(&self, moment: &str) -> &Self {
        self.clock.set(moment.parse().unwrap());
        self
    }

    /// What the run gets from outside.
    pub(crate) fn env(&self) -> Env {
        Env {
            server_name: self.server.clone(),
            formerly: Vec::new(),
            clock: self.clock.clone(),
            watcher: Arc::new(Silent),
            cancel: self.cancel.clone(),
            state_dir: self.state_dir(),
            trigger: "test",
        }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The storage of this name, with its faults.
    pub(crate) fn store(&self, name: &str) -> &Flaky<Memory> {
        &self.stores.iter().find(|(known, ..)| known == name).unwrap().1
    }

    /// The objects behind the storage of this name.
    pub(crate) fn memory(&self, name: &str) -> &Memory {
        &self.stores.iter().find(|(known, ..)| known == name).unwrap().2
    }

    /// The whole copies on a storage, the oldest first.
    pub(crate) async fn copies(&self, name: &str) -> Vec<Manifest> {
        let survey = survey(self.memory(name), "").await.unwrap();
        assert!(survey.damaged.is_empty(), "{:?}", survey.damaged);
        let whole = survey.copies.into_iter().filter(|stored| stored.intact);
        whole.map(|stored| stored.manifest).collect()
    }

    /// The days of the whole copies on a storage.
    pub(crate) async fn days(&self, name: &str) -> Vec<String> {
        let copies = self.copies(name).await;
        copies.iter().map(|copy| copy.local_start().date().to_string()).collect()
    }

    /// Objects that belong to no whole copy; the marker of the folder aside.
    pub(crate) async fn litter(&self, name: &str) -> Vec<String> {
        let survey = survey(self.memory(name), "").await.unwrap();
        let kept: Vec<_> = survey
            .copies
            .iter()
            .filter(|stored| stored.intact)
            .flat_map(|stored| stored.objects().map(ToString::to_string).collect::<Vec<_>>())
            .collect();
        let mut litter = self.memory(name).keys();
        litter.retain(|key| !kept.contains(key) && key != ".nxs-backup.json");
        litter
    }
}

/// Three in the night of a day, in UTC.
pub(crate) fn day(date: &str) -> Zoned {
    format!("{date}T03:00:00+00:00[UTC]").parse().unwrap()
}

/// The reasons of all failures in a report, joined.
pub(crate) fn failures(report: &Report) -> String {
    let mut all: Vec<String> = report.errors.clone();
    for job in &report.jobs {
        all.extend(job.errors.clone());
        for target in &job.targets {
            all.extend(target.errors.iter().map(|error| format!("{}: {error}", target.target)));
            for place in &target.places {
                if let PlaceOutcome::Failed(why) = &place.outcome {
                    all.push(format!("{}: '{}': {why}", target.target, place.place));
                }
                all.extend(place.errors.clone());
            }
        }
    }
    all.join("\n")
}
