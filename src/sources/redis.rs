//! `redis`: a whole Redis or Valkey server as an RDB file.
//!
//! We take it as a replica would, by PSYNC: nothing is written to a disk on the way, here or (with
//! `repl-diskless-sync`) there. Where the server refuses that, `redis-cli --rdb` has a try, which
//! asks by SYNC.

mod back;
mod connect;
mod psync;
mod rdb;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Wrong;
use crate::sources::form::checked;
use crate::sources::tool::{Call, Tool};
use crate::sources::{Back, Error, Found, Kind, Result, Section, Setting, Source, Target};
use crate::stream::{self, ByteStream, Dump, DumpFacts, Feeder, Payload, Pending};

pub use connect::Connect;

use back::ToFile;
use connect::Place;
use psync::Failed;
use rdb::{Marked, Rdb};

/// A source of `redis`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the server is reached.
    #[serde(default)]
    pub connect: Connect,
}

/// A server.
struct Redis {
    connect: Connect,
    silence: Option<Duration>,
    /// The other way, where its program is here.
    cli: Option<Call>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        self.connect.problems()
    }

    fn address(&self) -> Option<String> {
        Some(self.connect.address())
    }

    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    fn wanted(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        let connect = self.connect.clone();
        let cli = REDIS_CLI.find().map(|program| {
            let call = Call::new(&program, NAME, setting);
            by_cli(call, &connect)
        });
        Ok(Box::new(Redis { connect, silence: setting.silence, cli }))
    }
}

#[async_trait]
impl Source for Redis {
    async fn targets(&self) -> Result<Found> {
        let target = Target { part: Vec::new(), ..Target::named(NAME, "rdb") };
        Ok(Found { targets: vec![target], ..Found::default() })
    }

    async fn probe(&self) -> Result<Found> {
        let mut found = self.targets().await?;
        match psync::greet(&self.connect, Some(PATIENCE)).await {
            Ok(()) | Err(Failed::Unread) => {}
            Err(Failed::Broken(error)) => return Err(error),
            Err(Failed::Refused(why)) => {
                let problem = format!("the server {} refuses PSYNC: {why}", self.connect.address());
                let (kind, subject) = (Kind::Denied, NAME.to_owned());
                match self.cli {
                    Some(_) => {
                        found.notes.push(format!("{problem}; `redis-cli --rdb` will be tried"))
                    }
                    None => found.failed.push(Error { kind, subject, problem, source: None }),
                }
            }
        }
        Ok(found)
    }

    async fn open(&self, _target: &Target) -> Result<Payload> {
        let (feeder, bytes) = ByteStream::channel(DEPTH);
        let (promise, facts) = Pending::new();
        let (connect, silence, cli) = (self.connect.clone(), self.silence, self.cli.clone());
        tokio::spawn(async move {
            let copied = tokio::select! {
                () = feeder.closed() => return,
                copied = copy(&connect, silence, cli, &feeder) => copied,
            };
            match copied {
                Ok(facts) => {
                    promise.keep(facts);
                    feeder.finish().await.ok();
                }
                Err(error) => feeder.fail(error).await,
            }
        });
        Ok(Payload::Dump(checked(NAME, Dump { bytes, facts }, Rdb::new())))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Prepare(&ToFile)
    }
}

/// Copies the server by PSYNC, else by redis-cli.
async fn copy(
    connect: &Connect,
    silence: Option<Duration>,
    cli: Option<Call>,
    feeder: &Feeder,
) -> std::result::Result<DumpFacts, stream::Error> {
    let refusal = match psync::copy(connect, silence, feeder).await {
        Ok(()) => return Ok(DumpFacts::default()),
        Err(Failed::Broken(error)) => return Err(stream::Error::new(error)),
        Err(Failed::Unread) => return Err(stream::Closed.into()),
        Err(Failed::Refused(refusal)) => refusal,
    };
    let refused = format!("the server {} refuses PSYNC ({refusal})", connect.address());
    let failure = |problem: String, source| {
        stream::Error::new(Error { kind: Kind::Denied, subject: NAME.to_owned(), problem, source })
    };
    let Some(call) = cli else {
        let missing = REDIS_CLI.missing();
        let problem = format!("{refused}, and what could do without cannot be tried: {missing}");
        return Err(failure(problem, None));
    };
    tracing::info!("{refused}: trying redis-cli --rdb");
    let by_cli = by_output(call, feeder).await;
    by_cli.map_err(|error| match error {
        stream::Error::Cut => error,
        error => failure(format!("{refused}, and redis-cli failed, too"), Some(error.into())),
    })
}

/// Runs redis-cli and takes what it prints.
async fn by_output(call: Call, feeder: &Feeder) -> std::result::Result<DumpFacts, stream::Error> {
    let dump = call.dump(|_| Ok(DumpFacts::default())).map_err(stream::Error::new)?;
    let mut dump = checked(NAME, dump, Marked::new());
    while let Some(chunk) = dump.bytes.next().await? {
        feeder.send(chunk).await?;
    }
    dump.facts.get().await
}

/// The call of redis-cli; the password goes by its environment.
fn by_cli(call: Call, connect: &Connect) -> Call {
    let mut call = match connect.place() {
        Place::Socket(path) => call.arg("-s").arg(path),
        Place::Tcp(host, port) => call.args(["-h", host, "-p"]).arg(port.to_string()),
    };
    if let Some(user) = &connect.db_user {
        call = call.args(["--user", user]);
    }
    if let Some(password) = &connect.db_password {
        call = call.env("REDISCLI_AUTH", password.reveal());
    }
    if connect.is_tls() {
        call = call.arg("--tls");
    }
    let files = [
        ("--cacert", &connect.ca_file),
        ("--cert", &connect.cert_file),
        ("--key", &connect.key_file),
    ];
    for (option, file) in files {
        if let Some(file) = file {
            call = call.arg(option).arg(file);
        }
    }
    call.args(["--rdb", "-"])
}

/// How long a greeting may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The only target, and how everybody calls it.
const NAME: &str = "redis";
const REDIS_CLI: Tool =
    Tool { names: &["redis-cli", "valkey-cli"], deb: "redis-tools", rpm: "redis", folders: &[] };
/// Chunks that wait: with 256 KiB each at most 1 MiB.
const DEPTH: usize = 4;
