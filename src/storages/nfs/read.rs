//! Gets and stats.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use nfs3_client::nfs3_types::nfs3::{READ3args, fattr3, nfs_fh3};
use tokio::task::JoinHandle;

use crate::base::Key;
use crate::storages::nfs::call::{Call, Found};
use crate::storages::nfs::errors::Trouble;
use crate::storages::{Kind, Object, Result};
use crate::stream::{self as body, ByteStream};

/// Tells size and time of the file of `key`.
pub(super) async fn stat(call: &Call, key: &Key) -> Result<Option<Object>> {
    let found = call.steady(|| find(call, key)).await?;
    Ok(found.map(|found| describe(key, &found.facts)))
}

/// Gives `part` of the file of `key`.
///
/// Memory: a piece of at most 1 MiB for each connection.
pub(super) async fn get(call: &Call, key: &Key, part: Range<u64>) -> Result<ByteStream> {
    let mounted = call.mounted().await?;
    let piece = mounted.read_bytes as u64;
    // The first piece is read here: of a small object that is replaced at this moment the reader
    // gets the new one.
    let (handle, first) = call.steady(|| open(call, key, part.clone(), piece)).await?;
    if first.len() as u64 == part.end - part.start {
        return Ok(ByteStream::from_bytes(first));
    }
    let (call, end) = (call.patiently(), part.end);
    let starts = (part.start + first.len() as u64..end).step_by(mounted.read_bytes);
    let ahead = call.server.way.connections;
    let pieces = stream::iter(starts).map(move |start| {
        let (call, handle) = (call.clone(), handle.clone());
        Task::spawn(async move {
            let read = call.read(&handle, start..end.min(start + piece)).await;
            read.map_err(|trouble| call.plainly(trouble))
        })
    });
    let rest = pieces.map(Task::join).buffered(ahead);
    Ok(ByteStream::from_stream(stream::iter([Ok(first)]).chain(rest)))
}

async fn find(call: &Call, key: &Key) -> std::result::Result<Option<Found>, Trouble> {
    let Some(folder) = call.folder(key.folder()).await? else { return Ok(None) };
    let found = call.lookup(&folder, key.name()).await?;
    Ok(found.filter(Found::is_file))
}

async fn open(
    call: &Call,
    key: &Key,
    part: Range<u64>,
    piece: u64,
) -> std::result::Result<(nfs_fh3, Bytes), Trouble> {
    let place = call.server.way.place();
    let Some(found) = find(call, key).await? else {
        let words = format!("{place}: there is no such file");
        return Err(call.error(Kind::NotFound, words).into());
    };
    let bytes = found.facts.size;
    if part.start > part.end || part.end > bytes {
        let words = format!("{place}: bytes {part:?} were asked for, the file has {bytes}");
        return Err(call.error(Kind::Corrupt, words).into());
    }
    let first = call.read(&found.handle, part.start..part.end.min(part.start + piece)).await?;
    Ok((found.handle, first))
}

impl Call {
    /// Reads exactly `part`, of which the server may give less at a time.
    async fn read(
        &self,
        handle: &nfs_fh3,
        part: Range<u64>,
    ) -> std::result::Result<Bytes, Trouble> {
        let mut all = BytesMut::new();
        loop {
            let at = part.start + all.len() as u64;
            if at >= part.end {
                return Ok(all.freeze());
            }
            let count = (part.end - at) as u32;
            let request = READ3args { file: handle.clone(), offset: at, count };
            let answer = match self.ask(&request).await? {
                Ok(answer) => answer,
                Err(status) => return Err(self.judge(status)),
            };
            let data = answer.data.into_owned();
            if data.is_empty() || data.len() > count as usize {
                let words =
                    format!("{}: the file changed while it was read", self.server.way.place());
                return Err(self.error(Kind::Corrupt, words).into());
            }
            if all.is_empty() && data.len() == count as usize {
                return Ok(data.into());
            }
            all.extend_from_slice(&data);
        }
    }

    /// Says a trouble that no new walk can cure.
    pub(super) fn plainly(&self, trouble: Trouble) -> crate::storages::Error {
        use nfs3_client::nfs3_types::nfs3::nfsstat3::NFS3ERR_STALE;
        match trouble {
            Trouble::Stale => self.refused(NFS3ERR_STALE),
            Trouble::Error(error) => error,
        }
    }
}

/// A piece on its way, which comes in whether its reader is ready or not, so that no connection
/// is held for one who looks elsewhere; dropped, it ends.
struct Task(JoinHandle<Result<Bytes>>);

impl Task {
    fn spawn(work: impl Future<Output = Result<Bytes>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    async fn join(mut self) -> std::result::Result<Bytes, body::Error> {
        match (&mut self.0).await {
            Ok(read) => read.map_err(body::Error::new),
            Err(panic) => Err(body::Error::new(panic)),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn describe(key: &Key, facts: &fattr3) -> Object {
    let (seconds, nanos) = (i64::from(facts.mtime.seconds), facts.mtime.nseconds as i32);
    let modified = Timestamp::new(seconds, nanos).ok();
    Object { key: key.clone(), bytes: facts.size, modified }
}
