//! A dump that another program reads to its end while it passes: its end comes only once that one
//! has found it good.

use crate::base::chain;
use crate::sources::tool::Call;
use crate::stream::{self, ByteStream, Dump, Feeder, Pending};

/// Gives all of `dump` to `reader`, too; it costs the time of the slower of both.
///
/// Must be called inside a tokio runtime. Where `reader` fails, the stream breaks with its words.
pub(super) fn read_through(dump: Dump, reader: Call) -> Dump {
    let (feeder, bytes) = ByteStream::channel(DEPTH);
    let (promise, facts) = Pending::new();
    tokio::spawn(async move {
        let Dump { bytes: source, facts: known } = dump;
        let read = tokio::select! {
            () = feeder.closed() => return,
            read = both(source, reader, &feeder) => read,
        };
        let known = match read {
            Ok(()) => known.get().await,
            Err(error) => Err(error),
        };
        match known {
            Ok(known) => {
                promise.keep(known);
                feeder.finish().await.ok();
            }
            Err(error) => feeder.fail(error).await,
        }
    });
    Dump { bytes, facts }
}

/// Reads `source` to its end and waits for the verdict; its own error comes first.
async fn both(source: ByteStream, reader: Call, out: &Feeder) -> Result<(), stream::Error> {
    let (copy, copied) = ByteStream::channel(DEPTH);
    let (read, verdict) = tokio::join!(pass(source, copy, out), reader.feed(copied));
    read?;
    verdict.map_err(|error| {
        let why = format!("the dump is not whole, since it cannot be read: {}", chain(&error));
        stream::Error::new(why)
    })
}

/// Hands every chunk to both; once the copy is not wanted any more the verdict says why.
async fn pass(mut source: ByteStream, copy: Feeder, out: &Feeder) -> Result<(), stream::Error> {
    loop {
        match source.next().await {
            Ok(Some(chunk)) => {
                if copy.send(chunk.clone()).await.is_err() {
                    return Ok(());
                }
                out.send(chunk).await?;
            }
            Ok(None) => {
                copy.finish().await.ok();
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

const DEPTH: usize = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::sources::Setting;
    use crate::stream::DumpFacts;

    async fn through(script: &str) -> Result<bytes::Bytes, stream::Error> {
        let (tmp, hidden) = (std::env::temp_dir(), BTreeSet::new());
        let setting = Setting {
            job: "job",
            name: None,
            tmp_dir: &tmp,
            state_dir: &tmp,
            secret_env: &hidden,
            silence: None,
        };
        let reader = Call::new(Path::new("/bin/sh"), "db", &setting).arg("-c").arg(script);
        let dump = Dump::new(ByteStream::from_bytes(vec![7; 1 << 20]), DumpFacts::default());
        let dump = read_through(dump, reader);
        let bytes = dump.bytes.collect(4 << 20).await;
        assert_eq!(dump.facts.get().await.is_ok(), bytes.is_ok());
        bytes
    }

    #[tokio::test]
    async fn what_the_reader_finds_good_ends_well() {
        assert_eq!(through("cat > /dev/null").await.unwrap().len(), 1 << 20);
    }

    #[tokio::test]
    async fn what_the_reader_cannot_read_breaks() {
        for script in
            ["cat > /dev/null; echo 'no archive' >&2; exit 1", "echo 'no archive' >&2; exit 1"]
        {
            let error = chain(&through(script).await.unwrap_err());
            assert!(error.contains("no archive"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_early_has_not_read_it() {
        let error = chain(&through("exit 0").await.unwrap_err());
        assert!(error.contains("before it had read everything"), "{error}");
    }
}
