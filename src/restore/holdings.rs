//! What the storages of a plan hold, as their manifests tell it.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::base::chain;
use crate::catalogue::{Stored, Survey, server_folder, survey};
use crate::plan::{Entry, Group, Job, Place, Plan};
use crate::run::Selection;
use crate::sources::Config as SourceConfig;
use crate::storages;

/// What one folder of one storage holds.
pub struct Holding<'a> {
    /// The storage, as the first job that names it calls it.
    pub place: &'a Place,
    /// The jobs that store there.
    pub jobs: Vec<&'a Job>,
    /// Everything found, also of others.
    pub survey: Survey,
}

/// Everything that could be read, and what could not.
#[derive(Default)]
pub struct Holdings<'a> {
    /// One for each folder of a storage that answered.
    pub found: Vec<Holding<'a>>,
    /// Storages that did not answer, and why.
    pub troubles: Vec<String>,
    /// The server whose copies are meant, with its former names.
    pub servers: Vec<String>,
}

/// One copy on one storage.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    /// Where it lies.
    pub place: &'a Place,
    /// What it is.
    pub stored: &'a Stored,
    /// The job of the config that it belongs to, if there is one.
    pub job: Option<&'a Job>,
}

/// Which storages and which server's copies to look at.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only storages of this name.
    pub storage: Option<String>,
    /// The copies of this server instead of our own.
    pub host: Option<String>,
}

/// Asks every storage that the selected jobs use, each folder once.
pub async fn look<'a>(plan: &'a Plan, selection: &Selection, scope: &Scope) -> Holdings<'a> {
    let mut holdings = Holdings { servers: servers(plan, scope), ..Holdings::default() };
    let mut places: Vec<(&Place, Vec<&Job>)> = Vec::new();
    for entry in selection.entries(plan) {
        match entry {
            Entry::Job(job) => add_places(&mut places, job, scope),
            Entry::Broken(broken) => holdings.troubles.push(format!(
                "job {:?} has errors in its config, so its storages were not asked: see `check`",
                broken.name
            )),
        }
    }
    let host = holdings.servers.first().cloned().unwrap_or_default();
    let asked = places.into_iter().map(|(place, jobs)| ask(place, jobs, &host));
    for answer in join_all(asked).await {
        match answer {
            Ok(holding) => {
                let others = scope.host.is_none().then(|| holding.of_others(&holdings.servers));
                holdings.troubles.extend(others.flatten());
                holdings.found.push(holding);
            }
            Err(error) => holdings.troubles.push(chain(&error)),
        }
    }
    holdings
}

fn servers(plan: &Plan, scope: &Scope) -> Vec<String> {
    match &scope.host {
        Some(host) => vec![host.clone()],
        None => [vec![plan.main.server_name.clone()], plan.main.formerly.clone()].concat(),
    }
}

fn add_places<'a>(places: &mut Vec<(&'a Place, Vec<&'a Job>)>, job: &'a Job, scope: &Scope) {
    for place in &job.places {
        if scope.storage.as_ref().is_some_and(|name| *name != place.name) {
            continue;
        }
        match places.iter_mut().find(|(known, _)| known.fingerprint == place.fingerprint) {
            Some((_, jobs)) => jobs.push(job),
            None => places.push((place, vec![job])),
        }
    }
}

async fn ask<'a>(
    place: &'a Place,
    jobs: Vec<&'a Job>,
    host: &str,
) -> Result<Holding<'a>, storages::Error> {
    let prefix = match place.shared {
        true => server_folder(host),
        false => String::new(),
    };
    Ok(Holding { place, jobs, survey: survey(&*place.storage, &prefix).await? })
}

impl<'a> Holdings<'a> {
    /// Names the manifests that are damaged or could not be read: each may be of a copy that is
    /// then missing in every listing.
    pub fn damaged(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for holding in &self.found {
            let (place, survey) = (&holding.place.name, &holding.survey);
            for (key, problem) in &survey.damaged {
                lines.push(format!("'{place}': the manifest {key} {problem}"));
            }
            for (key, problem) in &survey.unread {
                lines.push(format!("'{place}': the manifest {key} could not be read: {problem}"));
            }
        }
        lines
    }

    /// Gives every copy of the server that is meant, with the job it belongs to.
    pub fn copies(&self) -> impl Iterator<Item = Held<'_>> {
        self.found.iter().flat_map(|holding| {
            let ours = |stored: &&Stored| self.servers.contains(&stored.manifest.server_name);
            holding.survey.copies.iter().filter(ours).map(move |stored| Held {
                place: holding.place,
                stored,
                job: holding.job_of(stored),
            })
        })
    }

    /// Like [`Holdings::copies`], but only those that the selection means.
    pub fn selected(&self, selection: &Selection) -> Vec<Held<'_>> {
        let meant = |held: &Held<'_>| match held.job {
            Some(job) => selection.means(&job.name, Some(job.group)),
            None => selection.means(&held.stored.manifest.job, group_of(held)),
        };
        self.copies().filter(meant).collect()
    }
}

/// The group of a copy that no job of the config owns any more.
fn group_of(held: &Held<'_>) -> Option<Group> {
    let kind = held.stored.manifest.kind.as_str();
    SourceConfig::KINDS.iter().find(|known| known.is_called(kind))?.group
}

impl<'a> Holding<'a> {
    /// Says whose copies these are when none is of the server that is meant.
    fn of_others(&self, servers: &[String]) -> Option<String> {
        let names = self.survey.copies.iter().map(|stored| &stored.manifest.server_name);
        let names: BTreeSet<&String> = names.collect();
        let other = names.first().filter(|_| names.iter().all(|name| !servers.contains(name)))?;
        let (place, location) = (&self.place.name, &self.place.location);
        let meant = servers.first().map_or("", String::as_str);
        Some(format!(
            "'{place}' {location}: the copies there are of the server {other:?}, not of {meant:?}: \
             `--host {other}` shows them"
        ))
    }

    /// Returns the job of the config whose name, now or formerly, the manifest gives.
    pub fn job_of(&self, stored: &Stored) -> Option<&'a Job> {
        let name = &stored.manifest.job;
        let mut jobs = self.jobs.iter().copied();
        jobs.find(|job| job.name == *name || job.formerly.contains(name))
    }
}
