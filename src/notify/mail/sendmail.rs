//! `sendmail`, the program that every mail server of Unix brings.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::{Output, Stdio};

use lettre::address::Envelope;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::notify::{Error, Kind, Result};

/// Gives a message to `sendmail`; the variables in `secret_env` do not reach it.
pub(super) async fn send(
    envelope: &Envelope,
    message: &[u8],
    secret_env: &BTreeSet<String>,
) -> Result<()> {
    let (program, mut child) = start(envelope, secret_env)?;
    let mut stdin = child.stdin.take();
    let write = async move {
        if let Some(stdin) = &mut stdin {
            stdin.write_all(message).await?;
            stdin.shutdown().await?;
        }
        drop(stdin);
        Ok::<_, std::io::Error>(())
    };
    let (written, ended) = tokio::join!(write, child.wait_with_output());
    let lost = |error: std::io::Error| Error::new(Kind::Unknown, format!("{program}: {error}"));
    let ended = ended.map_err(lost)?;
    if !ended.status.success() {
        return Err(failure(program, &ended));
    }
    written.map_err(lost)
}

fn start(envelope: &Envelope, secret_env: &BTreeSet<String>) -> Result<(&'static str, Child)> {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        command.args(["-oi", "-f"]).arg(envelope.from().map_or("<>", |from| from.as_ref()));
        command.arg("--").args(envelope.to().iter().map(AsRef::<str>::as_ref));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        for name in secret_env {
            command.env_remove(name);
        }
        match command.kill_on_drop(true).spawn() {
            Ok(child) => return Ok((program, child)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::new(Kind::Refused, format!("{program}: cannot start: {error}")));
            }
        }
    }
    let why = "there is no `sendmail` on this machine: set `smtp_server`, or install a mail server";
    Err(Error::new(Kind::Refused, why))
}

fn failure(program: &str, ended: &Output) -> Error {
    let said = String::from_utf8_lossy(&ended.stderr);
    let said: Vec<&str> = said.split_whitespace().collect();
    let said: String = said.join(" ").chars().filter(|ch| !ch.is_control()).take(500).collect();
    let kind = match ended.status.code() {
        Some(EX_TEMPFAIL) => Kind::Unavailable,
        _ => Kind::Refused,
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Error::new(kind, format!("{program} failed ({}){said}", ended.status))
}

/// As on PATH, then where it lies when PATH is that of cron.
const PROGRAMS: [&str; 3] = ["sendmail", "/usr/sbin/sendmail", "/usr/lib/sendmail"];
const EX_TEMPFAIL: i32 = 75;
