//! The programs that jobs need: what is here, in which version, and what is missing.

use std::path::PathBuf;

use futures_util::future::join_all;
use serde::Serialize;

use crate::base::Cancel;
use crate::cli::failure::Failure;
use crate::cli::{output, setup};
use crate::plan::Entry;
use crate::sources::tool::{Tool, version_of};

/// The programs of all jobs that are on, each once.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    /// Those that are here.
    pub(crate) found: Vec<Found>,
    /// A sentence for each that is not.
    pub(crate) missing: Vec<String>,
}

/// A program that is here.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    path: PathBuf,
    /// What it says of its version; nothing if it says nothing.
    version: Option<String>,
    /// The jobs that need it.
    jobs: Vec<String>,
}

impl Tools {
    /// Looks for what `jobs` need, as far as they can be read, and asks each program for its
    /// version.
    pub(crate) fn of(jobs: &[Entry]) -> Result<Self, Failure> {
        let mut tools = Self::default();
        for job in jobs.iter().filter(|job| job.is_enabled()) {
            job.tools().iter().for_each(|tool| tools.add(job.name(), tool));
        }
        let versions = tools.found.iter().map(|found| version_of(&found.path));
        let versions = setup::block_on(&Cancel::default(), join_all(versions))?;
        tools.found.iter_mut().zip(versions).for_each(|(one, version)| one.version = version);
        Ok(tools)
    }

    fn add(&mut self, job: &str, tool: &Tool) {
        let Some(path) = tool.find() else {
            let line = format!("job {job:?}: {}", tool.missing());
            if !self.missing.contains(&line) {
                self.missing.push(line);
            }
            return;
        };
        let job = job.to_owned();
        match self.found.iter_mut().find(|found| found.path == path) {
            Some(found) if found.jobs.contains(&job) => {}
            Some(found) => found.jobs.push(job),
            None => self.found.push(Found { path, version: None, jobs: vec![job] }),
        }
    }

    /// Prints them, what is missing last.
    pub(crate) fn tell(&self) {
        for Found { path, version, .. } in &self.found {
            let version = version.as_deref().unwrap_or("does not tell its version");
            output::line(format!("{}: {version}", path.display()));
        }
        self.missing.iter().for_each(output::line);
    }
}
