//! The ways of a body to the server: from memory, as it comes, or through a file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::Body;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use crate::base::KIB;
use crate::storages::Kind;
use crate::storages::webdav::errors::Trouble;
use crate::stream::{ByteStream, Error};

/// The beginning of a body.
pub(super) struct Beginning {
    pub(super) bytes: Bytes,
    /// There is no more.
    pub(super) whole: bool,
}

/// Takes at most `limit` bytes of a body, and no fewer unless it ends.
pub(super) async fn gather(body: &mut ByteStream, limit: usize) -> Result<Beginning, Trouble> {
    let mut taken = BytesMut::new();
    while taken.len() < limit {
        let Some(mut chunk) = body.next().await.map_err(Trouble::body)? else {
            return Ok(Beginning { bytes: taken.freeze(), whole: true });
        };
        let room = limit - taken.len();
        if chunk.len() > room {
            body.unread(chunk.split_off(room));
        }
        if taken.capacity() < taken.len() + chunk.len() {
            // At once, or doubling would hold the bytes twice.
            taken.reserve(if taken.is_empty() { chunk.len() } else { room });
        }
        taken.extend_from_slice(&chunk);
    }
    Ok(Beginning { bytes: taken.freeze(), whole: false })
}

/// What became of a body that was sent as it came. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: u64,
    ended: bool,
    broke: Option<Error>,
}

impl Sent {
    /// Makes a body of `first` and the rest; it holds one chunk at a time.
    pub(super) fn follow(&self, first: Bytes, rest: ByteStream) -> Body {
        let state = (Some(first), rest, self.clone());
        Body::wrap_stream(stream::try_unfold(state, |(mut first, mut rest, sent)| async move {
            loop {
                let next = match first.take() {
                    Some(first) => Ok(Some(first)),
                    None => rest.next().await,
                };
                let chunk = sent.note(next)?;
                match chunk {
                    // An empty chunk would mean the end on the wire.
                    Some(chunk) if chunk.is_empty() => {}
                    Some(chunk) => return Ok::<_, Error>(Some((chunk, (None, rest, sent)))),
                    None => return Ok(None),
                }
            }
        }))
    }

    /// Tells the length, once the body has come to its end.
    pub(super) fn whole(&self) -> Option<u64> {
        let state = self.lock();
        state.ended.then_some(state.bytes)
    }

    /// Tells why the body broke, if it did.
    pub(super) fn broke(&self) -> Option<Error> {
        self.lock().broke.clone()
    }

    fn note(&self, next: Result<Option<Bytes>, Error>) -> Result<Option<Bytes>, Error> {
        let mut state = self.lock();
        match &next {
            Ok(Some(chunk)) => state.bytes += chunk.len() as u64,
            Ok(None) => state.ended = true,
            Err(error) => state.broke = Some(error.clone()),
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body in a file without a name, which is gone when it is dropped.
pub(super) struct Spool {
    file: Arc<File>,
    pub(super) bytes: u64,
}

impl Spool {
    /// Keeps a whole body.
    pub(super) async fn fill(
        folder: &Path,
        first: &Bytes,
        mut rest: ByteStream,
    ) -> Result<Self, Trouble> {
        let failed = |error: std::io::Error| {
            let problem = format!(
                "the body could not be kept in `tmp_dir` {}: give it a place that is large enough",
                folder.display()
            );
            Trouble::of(Kind::Other, problem, error)
        };
        let made = tempfile::tempfile_in(folder).map_err(failed)?;
        let mut file = tokio::fs::File::from_std(made);
        file.write_all(first).await.map_err(failed)?;
        let mut bytes = first.len() as u64;
        while let Some(chunk) = rest.next().await.map_err(Trouble::body)? {
            file.write_all(&chunk).await.map_err(failed)?;
            bytes += chunk.len() as u64;
        }
        file.flush().await.map_err(failed)?;
        Ok(Self { file: Arc::new(file.into_std().await), bytes })
    }

    /// Reads the file from its beginning; it holds [`STEP`] bytes at a time.
    pub(super) fn read(&self) -> Body {
        let state = (self.file.clone(), 0, self.bytes);
        Body::wrap_stream(stream::try_unfold(state, |(file, at, end)| async move {
            let wanted = (end - at).min(STEP as u64) as usize;
            if wanted == 0 {
                return Ok(None);
            }
            let reader = file.clone();
            let reading = spawn_blocking(move || {
                let mut chunk = vec![0; wanted];
                reader.read_exact_at(&mut chunk, at).map(|()| chunk)
            });
            let chunk = reading.await.map_err(std::io::Error::other)??;
            let next = (file, at + wanted as u64, end);
            Ok::<_, std::io::Error>(Some((Bytes::from(chunk), next)))
        }))
    }
}

const STEP: usize = 256 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_beginning_of_a_body_is_exact() {
        let chunks = [&b"abc"[..], b"", b"defg"].map(|chunk| Ok(Bytes::from_static(chunk)));
        let mut body = ByteStream::from_stream(stream::iter(chunks));
        let first = gather(&mut body, 5).await.unwrap();
        assert_eq!((first.bytes.as_ref(), first.whole), (&b"abcde"[..], false));
        let second = gather(&mut body, 5).await.unwrap();
        assert_eq!((second.bytes.as_ref(), second.whole), (&b"fg"[..], true));
        let third = gather(&mut body, 5).await.unwrap();
        assert!(third.bytes.is_empty() && third.whole);
    }
}
