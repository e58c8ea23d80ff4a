//! A call that is fed: a stream goes to the program's input.

use std::process::Stdio;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::base::chain;
use crate::sources::Result;
use crate::sources::tool::call::Call;
use crate::sources::tool::running::Running;
use crate::stream::{self, ByteStream};

impl Call {
    /// Starts it, feeds it `input`, and waits for its end; what it prints is dropped.
    ///
    /// Where the input breaks, the program is killed before its input closes, so that it cannot
    /// take what it has for the whole.
    ///
    /// Errors: [`crate::sources::Kind::Tool`] with its last words; the reason of a broken input.
    pub async fn feed(self, mut input: ByteStream) -> Result<()> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(|error| self.not_started(error))?;
        let mut stdin = child.stdin.take().expect("its input is piped");
        let mut running = Running::new(child, &self.name());
        let fed = pour(&mut input, &mut stdin).await;
        if let Err(Poured::Input(error)) = &fed {
            running.kill();
            let problem = format!("was ended, since its input broke: {}", chain(error));
            return Err(self.failure(problem, None));
        }
        drop(stdin);
        let waited = running.wait().await;
        let (status, stderr) =
            waited.map_err(|error| self.failure("could not be waited for", Some(error.into())))?;
        self.good_end(status, &stderr)?;
        match fed {
            Err(Poured::Output(error)) => {
                Err(self.failure("ended well before it had read everything", Some(error.into())))
            }
            _ => Ok(()),
        }
    }
}

enum Poured {
    Input(stream::Error),
    Output(std::io::Error),
}

async fn pour(
    input: &mut ByteStream,
    stdin: &mut (impl AsyncWrite + Unpin),
) -> std::result::Result<(), Poured> {
    while let Some(chunk) = input.next().await.map_err(Poured::Input)? {
        stdin.write_all(&chunk).await.map_err(Poured::Output)?;
    }
    stdin.flush().await.map_err(Poured::Output)
}
