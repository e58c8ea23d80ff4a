//! `external`: a script makes a file and answers where it is, by the contract of 2.x.
//!
//! The script decides by its exit code; what it prints is one JSON document with `full_path`,
//! `basename`, `extension` and `gzip`. The file is read where it lies and removed once every
//! storage has it.

mod answer;
mod produced;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Span, Wrong, text};
use crate::sources::tool::{Call, Strict, Tool, shell};
use crate::sources::{
    Back, Error, Found, Kind, Occasion, Result, Section, Setting, Source, Target,
};
use crate::stream::Payload;

use answer::Answer;

/// The keys of a job of `external`, which has no `sources`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A line for the shell; it makes a file and answers with JSON where it is.
    pub dump_cmd: String,
    /// The command stores its copies itself: its answer is not read, and nothing is stored or
    /// rotated.
    #[serde(default)]
    pub skip_backup_rotate: bool,
    /// The command is ended after this long; by default a day, 0 for never.
    pub dump_timeout: Option<Span>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        Vec::new()
    }

    fn address(&self) -> Option<String> {
        None
    }

    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    fn wanted(&self) -> Vec<String> {
        Vec::new()
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        let limit = self.dump_timeout.map_or(LONGEST, |span| span.0);
        let line = shell(&self.dump_cmd, "dump_cmd", setting.job, Strict::No, setting);
        Ok(Box::new(External {
            job: setting.job.to_owned(),
            call: line,
            limit: (!limit.is_zero()).then_some(limit),
            stores_itself: self.skip_backup_rotate,
        }))
    }
}

/// A script that makes a file.
struct External {
    job: String,
    call: Call,
    limit: Option<Duration>,
    stores_itself: bool,
}

impl External {
    fn failure(&self, problem: String) -> Error {
        Error { kind: Kind::Tool, subject: self.job.clone(), problem, source: None }
    }
}

#[async_trait]
impl Source for External {
    /// One, called as the job: what its file is called is known only when it is there.
    async fn targets(&self) -> Result<Found> {
        let (name, base) = (text(self.job.as_bytes()), self.job.clone().into_bytes());
        let target = Target { name, part: Vec::new(), base, ext: String::new(), path: None };
        Ok(Found { targets: vec![target], ..Found::default() })
    }

    async fn probe(&self) -> Result<Found> {
        Ok(Found { notes: vec!["its command is not run by a check".into()], ..Found::default() })
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        self.open_on(target, &Occasion::default()).await
    }

    async fn open_on(&self, target: &Target, occasion: &Occasion<'_>) -> Result<Payload> {
        let call = self.call.clone().envs(occasion.environment(&self.job, Some(&target.name)));
        if self.stores_itself {
            call.tell(self.limit).await?;
            return Ok(Payload::Elsewhere("`skip_backup_rotate`: the command stores it itself"));
        }
        let began = SystemTime::now();
        // A script that makes a file is silent until it answers: so it ends with its last words.
        let limit = self.limit.map_or(FOR_EVER, |limit| limit + GRACE);
        let output = call.silence(self.limit).output(limit).await?;
        let answer = Answer::parse(&output).map_err(|why| self.failure(why))?;
        let opened = tokio::task::spawn_blocking(move || produced::open(&answer, began)).await;
        let opened = opened.map_err(|error| self.failure(format!("was interrupted: {error}")))?;
        opened.map(Payload::Produced).map_err(|why| self.failure(why))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Plain
    }
}

const LONGEST: Duration = Duration::from_secs(86_400);
/// For one that goes on printing instead of answering.
const GRACE: Duration = Duration::from_secs(30);
/// A year: what is not ended by then is not waited for by anybody.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);
