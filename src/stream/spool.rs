//! One stream into a file, and readers that follow the file while it grows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::base::MIB;
use crate::stream::{ByteStream, Error};

/// Writes `stream` into `file`, which is empty, and gives `n` streams of what it holds.
///
/// Shape: each reader goes at its own pace; the source waits for none of them, only for the disk.
/// A reader that is dropped is forgotten; once all are, the source is dropped.
/// Units: a chunk of the source and 1 MiB for each reader are held in memory.
/// Errors: one of the source, or of the file, goes to every reader once it has read what was
/// written before.
/// Must be called inside a tokio runtime.
pub fn spool(stream: ByteStream, n: usize, file: File) -> Vec<ByteStream> {
    let file = Arc::new(file);
    let (tell, hear) = watch::channel(Mark::default());
    let readers = (0..n).map(|_| follow(Arc::clone(&file), hear.clone())).collect();
    drop(hear);
    tokio::spawn(fill(stream, file, tell));
    readers
}

/// How far the file is written.
#[derive(Clone, Default)]
struct Mark {
    bytes: u64,
    /// Nothing more comes: all is there, or the source broke.
    end: Option<Result<(), Error>>,
}

async fn fill(mut stream: ByteStream, file: Arc<File>, tell: watch::Sender<Mark>) {
    let end = loop {
        let next = tokio::select! {
            biased;
            () = tell.closed() => return,
            next = stream.next() => next,
        };
        let chunk = match next {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let (at, bytes) = (tell.borrow().bytes, chunk.len() as u64);
        let target = Arc::clone(&file);
        match spawn_blocking(move || target.write_all_at(&chunk, at)).await {
            Ok(Ok(())) => tell.send_modify(|mark| mark.bytes += bytes),
            Ok(Err(error)) => break Err(Error::new(SpoolError(error))),
            Err(error) => break Err(Error::new(error)),
        }
    };
    tell.send_modify(|mark| mark.end = Some(end));
}

/// The file of a spool cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the spool file in `tmp_dir` failed; free some space there, or say `spool: no`")]
struct SpoolError(#[source] std::io::Error);

fn follow(file: Arc<File>, hear: watch::Receiver<Mark>) -> ByteStream {
    let state = (file, hear, 0_u64);
    ByteStream::from_stream(stream::try_unfold(state, |(file, mut hear, at)| async move {
        let grown = hear.wait_for(|mark| mark.bytes > at || mark.end.is_some()).await;
        // The writer is gone without a last word: it died.
        let Mark { bytes, end } = grown.map_err(|_| Error::Cut)?.clone();
        if bytes == at {
            return match end {
                Some(Err(error)) => Err(error),
                _ => Ok(None),
            };
        }
        let length = (bytes - at).min(PIECE) as usize;
        let source = Arc::clone(&file);
        let piece = spawn_blocking(move || {
            let mut piece = vec![0; length];
            source.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
        });
        let piece = piece.await.map_err(Error::new)?;
        let piece = piece.map_err(|error| Error::new(SpoolError(error)))?;
        Ok(Some((piece, (file, hear, at + length as u64))))
    }))
}

/// Bytes that are read from the file at once.
const PIECE: u64 = MIB as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: u64) -> ByteStream {
        let chunk = |number: u64| Ok(Bytes::copy_from_slice(&number.to_le_bytes()));
        ByteStream::from_stream(stream::iter((0..count).map(chunk)))
    }

    fn file() -> File {
        tempfile::tempfile().unwrap()
    }

    #[tokio::test]
    async fn every_reader_gets_every_byte_whenever_it_reads() {
        let wanted = numbered(500_000).collect(8 << 20).await.unwrap();
        let mut readers = spool(numbered(500_000), 3, file());
        let late = readers.pop().unwrap();
        for reader in readers {
            assert!(reader.collect(8 << 20).await.unwrap() == wanted);
        }
        assert!(late.collect(8 << 20).await.unwrap() == wanted);
        let empty = spool(numbered(0), 1, file()).remove(0);
        assert!(empty.collect(1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_up_nobody() {
        let (feeder, stream) = ByteStream::channel(1);
        let mut readers = spool(stream, 2, file());
        let (_idle, mut fast) = (readers.remove(0), readers.remove(0));
        for _ in 0..100 {
            feeder.send(Bytes::from(vec![7; MIB])).await.unwrap();
        }
        feeder.finish().await.unwrap();
        let mut bytes = 0;
        while let Some(chunk) = fast.next().await.unwrap() {
            bytes += chunk.len();
        }
        assert_eq!(bytes, 100 * MIB);
    }

    #[tokio::test]
    async fn a_source_that_breaks_breaks_every_reader_after_what_it_gave() {
        let (feeder, stream) = ByteStream::channel(1);
        let readers = spool(stream, 2, file());
        feeder.send(Bytes::from_static(b"half")).await.unwrap();
        feeder.fail(Error::new("the disk is on fire")).await;
        for mut reader in readers {
            assert_eq!(reader.next().await.unwrap().unwrap(), "half");
            assert_eq!(reader.next().await.unwrap_err().to_string(), "the disk is on fire");
        }
        let (feeder, stream) = ByteStream::channel(1);
        let mut reader = spool(stream, 1, file()).remove(0);
        drop(feeder);
        assert!(matches!(reader.next().await, Err(Error::Cut)));
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_a_source_nobody_reads_is_let_go() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut reader = spool(numbered(10), 1, full).remove(0);
        let error = crate::base::chain(&reader.next().await.unwrap_err());
        assert!(error.contains("`tmp_dir`") && error.contains("No space left"), "{error}");
        let (feeder, stream) = ByteStream::channel(1);
        drop(spool(stream, 2, file()));
        feeder.closed().await;
    }
}
