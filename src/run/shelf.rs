//! A storage as one run sees it: claimed for this server, asked what it holds of a target.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::base::{Key, Level, Rank, chain, count};
use crate::catalogue::{MARKER, Names, Parent, manifest_key};
use crate::catalogue::{Stored, Survey, identity_matches, survey};
use crate::plan::{Job, Place};
use crate::report::{PlaceOutcome, PlaceReport};
use crate::retention::{self, Copy, Link, Rotation};
use crate::run::flow::Naming;
use crate::run::items::Item;
use crate::run::memory;
use crate::run::{Env, Journal, Scene, as_copy, stale};
use crate::storages::{Kind, Result, Storage};
use crate::stream::ByteStream;

/// A storage of the job, and whether this run may use it.
pub(crate) struct Shelf<'a> {
    pub(crate) place: &'a Place,
    /// Why nothing can be stored there in this scene.
    trouble: Option<String>,
}

/// A storage on which a copy of one target is due.
pub(crate) struct Due<'a> {
    pub(crate) place: &'a Place,
    pub(crate) level: Rank,
    /// The first object of the new artefact.
    pub(crate) key: Key,
    pub(crate) manifest_key: Key,
    /// What is there of this identity.
    pub(crate) stored: Vec<Stored>,
    /// Whether the storage let itself be listed.
    pub(crate) listed: bool,
    /// Which names are taken there, as far as it let itself be listed.
    pub(crate) taken: Survey,
    /// What there was before this run removed anything: a new copy is measured against it.
    pub(crate) before: Vec<Copy>,
    /// The guard that kept rotation from making room, in words.
    pub(crate) held: Option<String>,
    /// What the service says of the size of its objects, once it was asked.
    pub(crate) largest_object: Option<u64>,
    /// Its place in a chain, if it is one of one.
    pub(crate) chain: Option<DueInChain>,
    pub(crate) report: PlaceReport,
}

/// What a copy that is due is in its chain.
pub(crate) struct DueInChain {
    /// What it builds on there; none for a full copy.
    pub(crate) parent: Option<Parent>,
    /// What there was of chains before the run.
    pub(crate) before: Vec<Link>,
    /// Path, excludes and encryption, hashed.
    pub(crate) scope: String,
}

/// What a storage holds of one target of a job with chains.
pub(crate) struct OnShelf<'a> {
    pub(crate) place: &'a Place,
    pub(crate) names: Names,
    pub(crate) survey: Survey,
    pub(crate) report: PlaceReport,
}

impl<'a> Shelf<'a> {
    /// Makes sure that every storage of `job` is there and is ours, and marks new ones.
    pub(crate) async fn claim_all(job: &'a Job, env: &Env, journal: &Journal) -> Vec<Self> {
        Self::all(job, env, Some(journal)).await
    }

    /// Makes sure that every storage of `job` is there and is nobody else's; writes nothing.
    pub(crate) async fn inspect_all(job: &'a Job, env: &Env) -> Vec<Self> {
        Self::all(job, env, None).await
    }

    async fn all(job: &'a Job, env: &Env, journal: Option<&Journal>) -> Vec<Self> {
        let claims = job.places.iter().map(|place| async move {
            Self { place, trouble: claim(place, env, journal).await.err() }
        });
        let shelves = join_all(claims).await;
        for (place, trouble) in shelves.iter().filter_map(|s| Some((s.place, s.trouble.as_ref()?)))
        {
            warn!("'{}' takes no part: {trouble}", place.name);
        }
        shelves
    }

    /// Asks the storage what it holds of `item`, and decides whether and as what a copy is due.
    ///
    /// Errors: the finished report of a storage that takes no copy.
    pub(crate) async fn prepare(
        &self,
        item: &Item<'_>,
        scene: &Scene<'_>,
    ) -> std::result::Result<Due<'a>, PlaceReport> {
        let report = PlaceReport::of(&self.place.name);
        if let Some(trouble) = &self.trouble {
            return Err(report.with(PlaceOutcome::Failed(trouble.clone())));
        }
        match self.look(item, scene, report.clone()).await {
            Ok(Ok(due)) => Ok(due),
            Ok(Err(report)) => Err(report),
            Err(error) => Err(report.with(PlaceOutcome::Failed(chain(&error)))),
        }
    }

    async fn look(
        &self,
        item: &Item<'_>,
        scene: &Scene<'_>,
        mut report: PlaceReport,
    ) -> Result<std::result::Result<Due<'a>, PlaceReport>> {
        let place = self.place;
        let names = item.names(server_folder(place, scene.env));
        let Some(mut survey) = holdings(place, item, &names, scene).await? else {
            return self.look_unlisted(&names, scene, report).await;
        };
        report.note_troubles(&survey, scene);
        let copies: Vec<Copy> = survey.copies.iter().filter_map(as_copy).collect();
        let Some(level) = retention::level(&copies, &place.policy, &scene.started) else {
            return Ok(Err(report.nothing_due()));
        };
        let key = survey.free_key(&names, level, scene.started.datetime());
        let manifest_key = manifest_key(&key);
        Ok(Ok(Due {
            place,
            level: level.into(),
            key,
            manifest_key,
            stored: std::mem::take(&mut survey.copies),
            listed: true,
            taken: survey,
            before: copies,
            held: None,
            largest_object: None,
            chain: None,
            report,
        }))
    }

    /// Asks the storage what it holds of `item` for a job with chains.
    ///
    /// Errors: the finished report of a storage that takes no copy.
    pub(crate) async fn look_for_chain(
        &self,
        item: &Item<'_>,
        scene: &Scene<'_>,
    ) -> std::result::Result<OnShelf<'a>, PlaceReport> {
        let mut report = PlaceReport::of(&self.place.name);
        let failed = |report: PlaceReport, why| report.with(PlaceOutcome::Failed(why));
        if let Some(trouble) = &self.trouble {
            return Err(failed(report, trouble.clone()));
        }
        let names = item.names(server_folder(self.place, scene.env));
        match holdings(self.place, item, &names, scene).await {
            Ok(Some(survey)) => {
                report.note_troubles(&survey, scene);
                Ok(OnShelf { place: self.place, names, survey, report })
            }
            Ok(None) => {
                let why = "it does not let itself be listed, so nothing tells what an increment \
                           builds on: give the right to list";
                Err(failed(report, why.to_owned()))
            }
            Err(error) => Err(failed(report, chain(&error))),
        }
    }

    async fn look_unlisted(
        &self,
        names: &Names,
        scene: &Scene<'_>,
        mut report: PlaceReport,
    ) -> Result<std::result::Result<Due<'a>, PlaceReport>> {
        let place = self.place;
        let state = &scene.env.state_dir;
        if place.policy.rotation != Rotation::None {
            report.warnings.push(
                "it does not let itself be listed, so nothing is rotated there: give the right to \
                 list, or say `rotation: none`"
                    .into(),
            );
        }
        let Some(level) = memory::level(state, place, names, &scene.started) else {
            return Ok(Err(report.nothing_due()));
        };
        let key = unseen_free_key(place, names, level, scene).await?;
        let manifest_key = manifest_key(&key);
        Ok(Ok(Due {
            place,
            level: level.into(),
            key,
            manifest_key,
            stored: Vec::new(),
            listed: false,
            taken: Survey::default(),
            before: Vec::new(),
            held: None,
            largest_object: None,
            chain: None,
            report,
        }))
    }
}

impl Due<'_> {
    /// Asks the service how large its objects may be. One that gives no answer will say so when
    /// it is to store something.
    pub(crate) async fn ask_limits(&mut self) {
        match self.place.storage.ask_largest_object().await {
            Ok(bytes) => self.largest_object = bytes,
            Err(error) => {
                info!("'{}' does not tell its limits: {}", self.place.name, chain(&error))
            }
        }
    }

    /// Gives the new copy the name that its source alone knew; one that exists is never
    /// overwritten.
    pub(crate) async fn rename(
        &mut self,
        item: &Item<'_>,
        naming: &Naming,
        scene: &Scene<'_>,
    ) -> Result<()> {
        // Copies of chains are named by their place in it.
        let Rank::Whole(level) = self.level else { return Ok(()) };
        let names = Names {
            base: naming.base.clone(),
            ext: naming.ext.clone(),
            suffix: naming.suffix.to_owned(),
            ..item.names(server_folder(self.place, scene.env))
        };
        self.key = match self.listed {
            true => self.taken.free_key(&names, level, scene.started.datetime()),
            false => unseen_free_key(self.place, &names, level, scene).await?,
        };
        self.manifest_key = manifest_key(&self.key);
        Ok(())
    }
}

/// The folder above the part on a storage that several servers share.
pub(crate) fn server_folder<'e>(place: &Place, env: &'e Env) -> Option<&'e str> {
    place.shared.then_some(env.server_name.as_str())
}

/// Lists what a storage holds of `item`; `None` where listing is refused.
async fn holdings(
    place: &Place,
    item: &Item<'_>,
    names: &Names,
    scene: &Scene<'_>,
) -> Result<Option<Survey>> {
    let mut survey = match survey(&*place.storage, &names.folder()).await {
        Ok(survey) => survey,
        Err(error) if matches!(error.kind, Kind::Denied | Kind::Unsupported) => {
            info!("'{}' does not let itself be listed: {}", place.name, chain(&error));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let servers = with_former(&scene.env.server_name, &scene.env.formerly);
    let jobs = with_former(&scene.job.name, &scene.job.formerly);
    let source = item.source.name.as_deref();
    survey.copies.retain(|stored| {
        identity_matches(&stored.manifest, &servers, &jobs, source, &item.target.name)
    });
    Ok(Some(survey))
}

/// A name and the names that it had before.
pub(crate) fn with_former<'n>(name: &'n str, formerly: &'n [String]) -> Vec<&'n str> {
    std::iter::once(name).chain(formerly.iter().map(String::as_str)).collect()
}

/// The key of the new copy where nothing can be listed; one that exists is never overwritten.
async fn unseen_free_key(
    place: &Place,
    names: &Names,
    level: Level,
    scene: &Scene<'_>,
) -> Result<Key> {
    let stamp = scene.started.datetime();
    for again in 1..=99 {
        let key = names.artefact_key(level, stamp, again);
        match place.storage.stat(&key).await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(key),
            Err(error) if error.kind == Kind::Denied => return Ok(key),
            Err(error) => return Err(error),
        }
    }
    let key = names.artefact_key(level, stamp, 1);
    let cause = "a hundred copies with this stamp exist already: is the clock standing still?";
    Err(crate::storages::Error::new(Kind::Other, &place.name, "find a free name for", key, cause))
}

/// What `.nxs-backup.json` says: whose folder this is.
#[derive(Serialize, Deserialize)]
struct Marker {
    format: u32,
    server_name: String,
}

const MARKER_LIMIT: usize = 64 * 1024;

/// Makes sure that the folder is ours; with a journal, one that is nobody's becomes ours.
async fn claim(
    place: &Place,
    env: &Env,
    journal: Option<&Journal>,
) -> std::result::Result<(), String> {
    if place.shared {
        return Ok(());
    }
    match owner(&*place.storage).await {
        Ok(None) => match journal {
            Some(journal) => mark(place, env, journal).await.map_err(|error| chain(&error)),
            None => Ok(()),
        },
        Ok(Some(owner)) => accept(place, &owner, env),
        Err(error) if error.kind == Kind::Denied => {
            warn!("'{}': cannot see whose folder it is: {}", place.name, chain(&error));
            Ok(())
        }
        Err(error) => Err(chain(&error)),
    }
}

/// Tells whether a folder marked for `owner` may be used.
pub(crate) fn accept(place: &Place, owner: &str, env: &Env) -> std::result::Result<(), String> {
    if with_former(&env.server_name, &env.formerly).contains(&owner) {
        return Ok(());
    }
    Err(format!(
        "{} belongs to the server {owner:?} (says {MARKER}), and this is {:?}: give this server a \
         `backup_dir` of its own, or set `shared: yes` on the storage",
        place.location, env.server_name
    ))
}

/// Reads whose folder a storage is; `None` for nobody's yet.
pub(crate) async fn owner(storage: &dyn Storage) -> Result<Option<String>> {
    let key = Key::new(MARKER).expect("a constant good key");
    let Some(object) = storage.stat(&key).await? else { return Ok(None) };
    let bad = |cause: crate::base::BoxError| {
        crate::storages::Error::new(Kind::Corrupt, "storage", "read", &key, cause)
    };
    let body = storage.get(&key, 0..object.bytes).await?;
    let bytes = body.collect(MARKER_LIMIT).await.map_err(|error| bad(error.into()))?;
    let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| bad(error.into()))?;
    Ok(Some(marker.server_name))
}

/// Leaves the marker, journalled like every put, so that a kill leaves no half of it for ever.
async fn mark(place: &Place, env: &Env, journal: &Journal) -> Result<()> {
    let marker = Marker { format: 1, server_name: env.server_name.clone() };
    let json = serde_json::to_vec_pretty(&marker).expect("a marker has only plain values");
    let key = Key::new(MARKER).expect("a constant good key");
    let noted = journal.putting(&place.fingerprint, &place.name, &key, &key).await;
    noted.map_err(|error| {
        crate::storages::Error::new(Kind::Other, &place.name, "note in the journal", &key, error)
    })?;
    let done = place.storage.put(&key, ByteStream::from_bytes(json)).await;
    // A put that fails leaves nothing. An end that is not written is found out by the next sweep.
    journal.done(&place.fingerprint, &key).ok();
    done.map(drop)
}

impl PlaceReport {
    pub(crate) fn of(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            outcome: PlaceOutcome::Skipped(String::new()),
            removed: Vec::new(),
            copies: None,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn with(self, outcome: PlaceOutcome) -> Self {
        Self { outcome, ..self }
    }

    fn nothing_due(self) -> Self {
        let why = "no level of its `store` is enabled for today";
        self.with(PlaceOutcome::Skipped(why.into()))
    }

    /// Warns of what is wrong with what is there.
    fn note_troubles(&mut self, survey: &Survey, scene: &Scene<'_>) {
        for (key, problem) in &survey.damaged {
            self.warnings.push(format!("the manifest {key} {problem}"));
        }
        for (key, problem) in &survey.unread {
            self.errors.push(format!("the manifest {key} could not be read: {problem}"));
        }
        for stored in survey.copies.iter().filter(|stored| !stored.intact) {
            let problem = stored.problem.as_deref().unwrap_or("its objects are not as it says");
            self.warnings.push(format!("{} counts for nothing: {problem}", stored.manifest_key));
        }
        for copy in
            survey.copies.iter().filter_map(as_copy).filter(|it| it.is_future(&scene.started))
        {
            let (id, day) = (copy.id, copy.day);
            self.warnings.push(format!(
                "{id} is dated in the future ({day}): it is kept and counts for nothing"
            ));
        }
        for stale in stale(survey, &scene.started) {
            let objects = count(stale.objects.len(), "old object", "old objects");
            let artefact = stale.artefact;
            self.warnings.push(format!(
                "{objects} of an unfinished {artefact}: `nxs-backup sweep` cleans up"
            ));
        }
    }
}
