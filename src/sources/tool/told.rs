//! A call that is made for what it does: what it prints goes to the log.

use std::time::Duration;

use bytes::Bytes;

use crate::base::chain;
use crate::sources::tool::Call;
use crate::sources::{Error, Kind, Result};
use crate::stream::{ByteStream, DumpFacts};

impl Call {
    /// Runs it to its end, at most `limit`; each line that it prints goes to the log.
    ///
    /// Let go, it is ended with all that it started.
    ///
    /// Errors: [`Kind::Tool`] with its last words when it does not start, does not end well, or not
    /// in time.
    pub async fn tell(self, limit: Option<Duration>) -> Result<()> {
        let (subject, name) = (self.subject.clone(), self.name());
        let failed = |problem| Error { kind: Kind::Tool, subject, problem, source: None };
        let dump = self.silence(None).may_leave().dump(|_| Ok(DumpFacts::default()))?;
        let told = tokio::time::timeout(limit.unwrap_or(FOR_EVER), log(dump.bytes, &name));
        match told.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match error.reason::<Error>() {
                Some(own) => Err(failed(own.problem.clone())),
                None => Err(failed(format!("{name}: {}", chain(&error)))),
            },
            Err(_) => {
                let secs = limit.unwrap_or_default().as_secs();
                Err(failed(format!("{name} did not end within {secs} s and was ended")))
            }
        }
    }
}

/// Writes every line to the log, long ones in pieces.
async fn log(mut output: ByteStream, name: &str) -> std::result::Result<(), crate::stream::Error> {
    let mut line: Vec<u8> = Vec::new();
    let say = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            tracing::info!("{name}: {}", crate::base::display(text));
        }
    };
    while let Some(chunk) = output.next().await? {
        for piece in pieces(&chunk) {
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") || line.len() >= LONGEST_LINE {
                say(&line);
                line.clear();
            }
        }
    }
    say(&line);
    Ok(())
}

/// Cuts a chunk after each line break, and long lines anywhere.
fn pieces(chunk: &Bytes) -> impl Iterator<Item = &[u8]> {
    chunk.split_inclusive(|byte| *byte == b'\n').flat_map(|line| line.chunks(LONGEST_LINE))
}

const LONGEST_LINE: usize = 4 << 10;
/// A year: what is not ended by then is not waited for by anybody.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);
