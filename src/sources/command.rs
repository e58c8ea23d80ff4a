//! `command`: what a command prints is the data; another command may take it back.
//!
//! Names of targets go to commands by the environment, never into the text of a line. A pipe fails
//! with any of its programs, where there is bash.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Span, Wrong, text};
use crate::sources::tool::{Call, Last, Strict, Tool, shell};
use crate::sources::{
    Back, Error, Found, Kind, Loader, Occasion, Result, Section, Setting, Source, Stored, Target,
};
use crate::stream::{ByteStream, DumpFacts, Payload};

/// The keys of a job of `command`, which has no `sources`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A line for the shell; what it prints is the data.
    pub command: String,
    /// The names that it is called for, each an artefact of its own; without them it is called
    /// once, for a target called as the job.
    #[serde(default)]
    pub targets: Vec<String>,
    /// A line for the shell that prints the names, one a line; it must change nothing.
    pub targets_command: Option<String>,
    /// The extension of the artefacts, without a dot.
    #[serde(default = "extension")]
    pub extension: String,
    /// A line for the shell that reads the data back from its standard input.
    pub restore_command: Option<String>,
    /// A command that prints nothing is no failure.
    #[serde(default)]
    pub allow_empty: bool,
    /// How long the command may print nothing before it is ended; by default an hour, 0 for ever.
    pub dump_timeout: Option<Span>,
}

fn extension() -> String {
    "dump".to_owned()
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if !self.targets.is_empty() && self.targets_command.is_some() {
            let message = "`targets` and `targets_command` both name the targets: keep one of them";
            wrong.push(Wrong::new("targets_command", message));
        }
        for (at, name) in self.targets.iter().enumerate() {
            let problem = match name {
                name if name.contains('\0') => "a target's name has no NUL".to_owned(),
                name if self.targets[..at].contains(name) => {
                    format!("the target `{}` stands here twice", text(name.as_bytes()))
                }
                _ => continue,
            };
            wrong.push(Wrong::new(format!("targets[{at}]"), problem));
        }
        if self.extension.contains('/') {
            wrong.push(Wrong::new("extension", "an extension has no `/`"));
        }
        wrong
    }

    fn address(&self) -> Option<String> {
        None
    }

    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    fn wanted(&self) -> Vec<String> {
        self.targets.clone()
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        let silence = self.dump_timeout.map_or(SILENCE, |span| span.0);
        let silence = (!silence.is_zero()).then_some(silence);
        let call = |line: &str, name: &str| {
            shell(line, name, setting.job, Strict::Pipes, setting).silence(silence)
        };
        Ok(Box::new(Commands {
            job: setting.job.to_owned(),
            dump: call(&self.command, "command"),
            targets: self.targets.clone(),
            list: self.targets_command.as_deref().map(|line| call(line, "targets_command")),
            restore: self.restore_command.as_deref().map(|line| call(line, "restore_command")),
            extension: self.extension.trim_start_matches('.').to_owned(),
            allow_empty: self.allow_empty,
        }))
    }
}

/// A job whose data is what a command prints.
struct Commands {
    job: String,
    dump: Call,
    targets: Vec<String>,
    list: Option<Call>,
    restore: Option<Call>,
    extension: String,
    allow_empty: bool,
}

impl Commands {
    /// Prepares a call for one target.
    fn call(&self, call: &Call, target: &str, occasion: &Occasion<'_>) -> Call {
        call.clone().about(target).envs(occasion.environment(&self.job, Some(target)))
    }

    fn failure(&self, problem: String) -> Error {
        Error { kind: Kind::Other, subject: self.job.clone(), problem, source: None }
    }

    /// The names that `targets_command` prints.
    async fn listed(&self, list: &Call) -> Result<Vec<Target>> {
        let occasion = Occasion::default();
        let call = list.clone().envs(occasion.environment(&self.job, None));
        let output = call.output(LISTING).await?;
        let mut targets: Vec<Target> = Vec::new();
        for line in output.split(|byte| *byte == b'\n') {
            let name = line.strip_suffix(b"\r").unwrap_or(line);
            if name.trim_ascii().is_empty() {
                continue;
            }
            let target = self.target(name);
            if name.contains(&0) {
                return Err(
                    self.failure(format!("targets_command names {} with a NUL", target.name))
                );
            }
            if targets.contains(&target) {
                return Err(self.failure(format!("targets_command names {} twice", target.name)));
            }
            targets.push(target);
        }
        if targets.is_empty() {
            return Err(self.failure("targets_command printed no name".to_owned()));
        }
        Ok(targets)
    }

    fn target(&self, name: &[u8]) -> Target {
        let (part, base) = (vec![name.to_owned()], name.to_owned());
        Target { name: text(name), part, base, ext: self.extension.clone(), path: None }
    }
}

#[async_trait]
impl Source for Commands {
    async fn targets(&self) -> Result<Found> {
        let targets = match (&self.list, self.targets.as_slice()) {
            (Some(list), _) => self.listed(list).await?,
            (None, []) => vec![self.target(self.job.as_bytes())],
            (None, names) => names.iter().map(|name| self.target(name.as_bytes())).collect(),
        };
        Ok(Found { targets, ..Found::default() })
    }

    async fn probe(&self) -> Result<Found> {
        Ok(Found { notes: vec!["its commands are not run by a check".into()], ..Found::default() })
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        let alone = [target.name.clone()];
        self.open_on(target, &Occasion { run: None, targets: &alone }).await
    }

    async fn open_on(&self, target: &Target, occasion: &Occasion<'_>) -> Result<Payload> {
        let allow_empty = self.allow_empty;
        let judge = move |last: &Last| match last.bytes {
            0 if !allow_empty => Err("ended well and printed nothing: if that is meant, say \
                                      `allow_empty: yes`"
                .to_owned()),
            _ => Ok(DumpFacts::default()),
        };
        self.call(&self.dump, &target.name, occasion).dump(judge).map(Payload::Dump)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        if self.restore.is_some() { Back::Load(self) } else { Back::Plain }
    }
}

#[async_trait]
impl Loader for Commands {
    async fn inspect(&self, stored: &Stored, _into: &str, dump: ByteStream) -> Result<()> {
        let broken = |error: crate::stream::Error| Error {
            kind: Kind::Other,
            subject: stored.target.clone(),
            problem: "could not be read whole".to_owned(),
            source: Some(error.into()),
        };
        dump.drain().await.map(drop).map_err(broken)
    }

    /// A name that the job backs up is there; of another one nothing can be known.
    async fn present(&self, _stored: &Stored, into: &str) -> Result<Option<Target>> {
        let wanted = self.target(into.as_bytes());
        let targets = self.targets().await?.targets;
        Ok(targets.into_iter().find(|target| *target == wanted))
    }

    async fn load(&self, stored: &Stored, into: &str, dump: ByteStream) -> Result<()> {
        let Some(restore) = &self.restore else {
            return Err(self.failure("has no `restore_command`".to_owned()));
        };
        let alone = [stored.target.clone()];
        let occasion = Occasion { run: None, targets: &alone };
        self.call(restore, &stored.target, &occasion).env("INTO", into).feed(dump).await
    }
}

const SILENCE: Duration = Duration::from_secs(3600);
const LISTING: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
