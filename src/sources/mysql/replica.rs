//! The replica that stands still while it is read: its SQL threads are stopped once and started
//! again on every way out.
//!
//! A note in `state_dir`, written before anything is stopped, says which ones were ours: `close`
//! goes by it, and after a kill the next run does. What somebody else had stopped stays so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::base::component;
use crate::sources::mysql::client::{Client, Server};
use crate::sources::mysql::connect::Flavour;
use crate::sources::{Error, Kind, Result, Setting};

/// The replica behind a source.
pub struct Replica {
    note: PathBuf,
    is_paused: Mutex<bool>,
}

/// What lies in `state_dir` while SQL threads are stopped.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Connections of MariaDB or channels of MySQL; the unnamed one is empty.
    connections: Vec<String>,
}

impl Replica {
    /// Prepares for the source of `setting`.
    pub fn new(setting: &Setting<'_>) -> Self {
        let (job, source) = (setting.job, setting.name.unwrap_or_default());
        let name = component(format!("replica-{job}-{source}.json").as_bytes());
        Self { note: setting.state_dir.join(name), is_paused: Mutex::new(false) }
    }

    /// Stops the SQL threads that run, unless this was done already; `stop` is no for a tool that
    /// stops them itself, and may die before it starts them.
    ///
    /// Errors: [`Kind::Tool`] when they cannot be stopped; [`Kind::Other`] without a note.
    pub async fn pause(&self, client: &Client, server: &Server, stop: bool) -> Result<()> {
        let mut is_paused = self.is_paused.lock().await;
        if *is_paused {
            return Ok(());
        }
        let mut connections = running(client, server).await?;
        let left = self.read(client)?.map(|note| note.connections).unwrap_or_default();
        if connections.is_empty() && left.is_empty() {
            warn!(
                "{}: `is_slave` is set, but no SQL thread of a replica runs here",
                client.subject
            );
            *is_paused = true;
            return Ok(());
        }
        let stopping = connections.clone();
        connections.extend(left);
        connections.sort();
        connections.dedup();
        self.write(&Note { connections }).map_err(|error| self.unwritten(error))?;
        for connection in stopping.iter().filter(|_| stop) {
            client.ask(server, &statement("STOP", connection, server)).await?;
            info!("{}: the replica's SQL thread is stopped for the backup", client.subject);
        }
        *is_paused = true;
        Ok(())
    }

    /// Starts what we stopped, now or in a run that was killed; tries for some time.
    ///
    /// Errors: [`Kind::Tool`] when it does not start; the note stays for the next run then.
    pub async fn resume(&self, client: &Client) -> Result<()> {
        let mut is_paused = self.is_paused.lock().await;
        let Some(note) = self.read(client)? else {
            *is_paused = false;
            return Ok(());
        };
        let mut tries = 0;
        while let Err(error) = start(client, &note).await {
            tries += 1;
            if tries == TRIES {
                let problem = format!(
                    "the replica's SQL thread was stopped for the backup and could not be started \
                     again; the next run of this job tries again, or start it by hand ({})",
                    crate::base::chain(&error)
                );
                let subject = client.subject.clone();
                return Err(Error { kind: Kind::Tool, subject, problem, source: None });
            }
            tokio::time::sleep(PAUSE).await;
        }
        fs::remove_file(&self.note).map_err(|error| self.unwritten(error))?;
        *is_paused = false;
        info!("{}: the replica's SQL thread runs again", client.subject);
        Ok(())
    }

    fn read(&self, client: &Client) -> Result<Option<Note>> {
        match fs::read(&self.note) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unwritten(error)),
            Ok(text) => serde_json::from_slice(&text).map(Some).or_else(|_| {
                let note = self.note.display();
                warn!("{}: {note} is damaged; the unnamed connection is started", client.subject);
                Ok(Some(Note { connections: vec![String::new()] }))
            }),
        }
    }

    /// Durable before anything is stopped.
    fn write(&self, note: &Note) -> io::Result<()> {
        let folder = self.note.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let mut part = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut part, note)?;
        part.as_file().sync_all()?;
        part.persist(&self.note)?;
        fs::File::open(folder)?.sync_all()
    }

    fn unwritten(&self, error: io::Error) -> Error {
        Error {
            kind: Kind::Other,
            subject: self.note.display().to_string(),
            problem: "cannot be kept, and a replica whose SQL thread is stopped needs it".into(),
            source: Some(error.into()),
        }
    }
}

async fn start(client: &Client, note: &Note) -> Result<()> {
    let server = client.server().await?;
    let running = running(client, &server).await?;
    for connection in note.connections.iter().filter(|one| !running.contains(one)) {
        client.ask(&server, &statement("START", connection, &server)).await?;
    }
    Ok(())
}

/// Returns the connections whose SQL thread runs.
async fn running(client: &Client, server: &Server) -> Result<Vec<String>> {
    let sql = match (server.flavour, speaks_of_replicas(server)) {
        (Flavour::Maria, _) => "SHOW ALL SLAVES STATUS",
        (Flavour::MySql, true) => "SHOW REPLICA STATUS",
        (Flavour::MySql, false) => "SHOW SLAVE STATUS",
    };
    let rows = client.ask_vertical(server, sql).await?;
    Ok(running_in(&rows))
}

/// Reads the vertical form: `Name: value`, a row after each line of stars.
fn running_in(lines: &[Vec<u8>]) -> Vec<String> {
    let (mut found, mut name, mut runs) = (Vec::new(), String::new(), false);
    let mut close = |name: &mut String, runs: &mut bool| {
        if std::mem::take(runs) {
            found.push(std::mem::take(name));
        }
        name.clear();
    };
    for line in lines {
        let line = String::from_utf8_lossy(line);
        if line.starts_with("***") {
            close(&mut name, &mut runs);
        }
        match line.trim_start().split_once(": ").map(|(key, value)| (key, value.trim())) {
            Some(("Connection_name" | "Channel_Name", value)) => name = value.to_owned(),
            Some(("Slave_SQL_Running" | "Replica_SQL_Running", value)) => runs = value != "No",
            _ => {}
        }
    }
    close(&mut name, &mut runs);
    found
}

fn statement(verb: &str, connection: &str, server: &Server) -> String {
    let quoted = format!("'{}'", connection.replace('\\', "\\\\").replace('\'', "\\'"));
    match (server.flavour, speaks_of_replicas(server), connection.is_empty()) {
        (Flavour::Maria, ..) => format!("{verb} SLAVE {quoted} SQL_THREAD"),
        (Flavour::MySql, false, true) => format!("{verb} SLAVE SQL_THREAD"),
        (Flavour::MySql, false, false) => format!("{verb} SLAVE SQL_THREAD FOR CHANNEL {quoted}"),
        (Flavour::MySql, true, true) => format!("{verb} REPLICA SQL_THREAD"),
        (Flavour::MySql, true, false) => format!("{verb} REPLICA SQL_THREAD FOR CHANNEL {quoted}"),
    }
}

/// MySQL has the new words since 8.0.22, and the old ones until 8.3.
fn speaks_of_replicas(server: &Server) -> bool {
    let numbers = server.version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    numbers.take(3).collect::<Vec<u32>>() >= vec![8, 0, 22]
}

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_whose_thread_runs_are_found() {
        let text = "*** 1. row ***\n Connection_name: \n Slave_SQL_Running: Yes\n\
                    *** 2. row ***\n Connection_name: far\n Slave_SQL_Running: No\n\
                    *** 3. row ***\n Connection_name: near\n Slave_SQL_Running: Yes";
        let lines: Vec<_> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
        assert_eq!(running_in(&lines), ["", "near"]);
        assert_eq!(running_in(&[]), [""; 0]);
        let mysql = [&b"*** 1. row ***"[..], b"  Replica_SQL_Running: Yes", b"  Channel_Name: c"];
        assert_eq!(running_in(&mysql.map(<[u8]>::to_vec)), ["c"]);
    }
}
