//! Gets and stats.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use smb::CreateDisposition::Open;
use smb::File;
use tokio::task::JoinHandle;
use tracing::info;

use crate::base::{Key, MIB};
use crate::storages::layers::step;
use crate::storages::smb::Site;
use crate::storages::smb::errors::Trouble;
use crate::storages::smb::files::{close, describe, look, read as reading};
use crate::storages::smb::link::Wire;
use crate::storages::smb::pipe::read;
use crate::storages::{Kind, Object};
use crate::stream::{self, ByteStream, Feeder};

/// Tells size and time of the file of `key`.
pub(super) async fn stat(site: Arc<Site>, key: Key) -> Result<Option<Object>, Trouble> {
    let (subject, path) = (site.subject(key.as_str()), site.path(key.as_str()));
    let (subject, path, key) = (subject.as_str(), path.as_str(), &key);
    let look = |wire: Arc<Wire>| async move {
        let file = wire.file(subject, path, Open, look()).await?;
        let object = describe(key, &file).await;
        close(&file).await;
        Ok(object)
    };
    match site.link.call(look).await {
        Ok(object) => Ok(Some(object)),
        Err(trouble) if trouble.is_nothing() => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// A part of a file that can be read; a short part was read already.
pub(super) struct Opened {
    site: Arc<Site>,
    key: Key,
    subject: String,
    wire: Arc<Wire>,
    file: Arc<File>,
    object: Object,
    part: Range<u64>,
    first: Option<Vec<u8>>,
}

/// Opens the file of `key` for reading `part`.
pub(super) async fn open(site: Arc<Site>, key: Key, part: Range<u64>) -> Result<Opened, Trouble> {
    let subject = site.subject(key.as_str());
    let (wire, file, object) = open_file(&site, &key).await?;
    if part.start > part.end || part.end > object.bytes {
        close(&file).await;
        let bytes = object.bytes;
        let problem = format!("bytes {part:?} were asked for, {subject} has {bytes}");
        return Err(Trouble::new(Kind::Corrupt, problem));
    }
    let mut opened = Opened { site, key, subject, wire, file, object, part, first: None };
    let bytes = opened.part.end - opened.part.start;
    if bytes <= opened.wire.chunk as u64 {
        // A file that nobody holds open can be replaced.
        let first = opened.chunk(opened.part.clone()).await;
        close(&opened.file).await;
        opened.first = Some(opened.wire.note(first)?);
    }
    Ok(opened)
}

async fn open_file(site: &Site, key: &Key) -> Result<(Arc<Wire>, Arc<File>, Object), Trouble> {
    let (subject, path) = (site.subject(key.as_str()), site.path(key.as_str()));
    let (subject, path) = (subject.as_str(), path.as_str());
    let open = |wire: Arc<Wire>| async move {
        let file = wire.file(subject, path, Open, reading()).await?;
        let object = describe(key, &file).await;
        Ok((wire, Arc::new(file), object))
    };
    site.link.call(open).await
}

impl Opened {
    /// Gives the part as a stream; up to six chunks are read ahead.
    pub(super) fn stream(self) -> ByteStream {
        if let Some(first) = self.first {
            return ByteStream::from_bytes(first);
        }
        let (feeder, stream) = ByteStream::channel(2);
        tokio::spawn(self.pump(feeder));
        stream
    }

    async fn pump(mut self, feeder: Feeder) {
        let mut broken = 0;
        loop {
            let before = self.part.start;
            let fed = self.feed(&feeder).await;
            match self.wire.note(fed) {
                Err(trouble) if trouble.mark.lost => {
                    broken = if self.part.start > before { 1 } else { broken + 1 };
                    if broken > self.site.retries {
                        return self.fail(feeder, trouble).await;
                    }
                    info!(storage = %self.site.name, key = %self.key, error = %trouble, "reading on over a new connection");
                    if let Err(trouble) = self.reopen().await {
                        return self.fail(feeder, trouble).await;
                    }
                }
                Err(trouble) => return self.fail(feeder, trouble).await,
                Ok(true) => break,
                Ok(false) => {
                    let old = self.file.clone();
                    if let Err(trouble) = self.reopen().await {
                        return self.fail(feeder, trouble).await;
                    }
                    close(&old).await;
                }
            }
        }
        close(&self.file).await;
        if self.part.is_empty() {
            feeder.finish().await.ok();
        }
    }

    async fn fail(self, feeder: Feeder, trouble: Trouble) {
        close(&self.file).await;
        let error = self.site.error("get", self.key.as_str(), trouble);
        feeder.fail(stream::Error::new(error)).await;
    }

    /// Feeds what is left of the part, or until nobody reads any more; says no when it should go
    /// on over a new connection.
    async fn feed(&mut self, feeder: &Feeder) -> Result<bool, Trouble> {
        let mut ahead: VecDeque<JoinHandle<Result<Vec<u8>, Trouble>>> = VecDeque::new();
        let mut asked = self.part.start;
        loop {
            let tired = self.wire.is_tired();
            while ahead.len() < AHEAD && asked < self.part.end && !tired {
                let to = (asked + self.wire.chunk as u64).min(self.part.end);
                let (file, subject) = (self.file.clone(), self.subject.clone());
                ahead.push_back(tokio::spawn(chunk(file, subject, asked..to)));
                asked = to;
            }
            let Some(next) = ahead.pop_front() else { return Ok(asked == self.part.end) };
            let bytes = next.await.unwrap_or_else(|error| Err(Trouble::task(&error)))?;
            self.part.start += bytes.len() as u64;
            if feeder.send(bytes.into()).await.is_err() {
                // What was asked for is waited for: the server grants only so many requests.
                for rest in ahead {
                    rest.await.ok();
                }
                return Ok(true);
            }
        }
    }

    /// Opens the file over a new connection; it must still be the same.
    async fn reopen(&mut self) -> Result<(), Trouble> {
        let opened = step(self.site.retries, || async {
            let opened = open_file(&self.site, &self.key).await;
            opened.map_err(|trouble| self.site.error("get", self.key.as_str(), trouble))
        });
        let (wire, file, object) = opened.await.map_err(|error| {
            match error.source.map(|source| source.downcast::<Trouble>()) {
                Some(Ok(trouble)) => *trouble,
                _ => Trouble::new(error.kind, "the file cannot be opened again"),
            }
        })?;
        (self.wire, self.file) = (wire, file);
        if object == self.object {
            return Ok(());
        }
        let problem = format!("{} was replaced while it was read", self.subject);
        Err(Trouble::new(Kind::Corrupt, problem))
    }

    async fn chunk(&self, part: Range<u64>) -> Result<Vec<u8>, Trouble> {
        chunk(self.file.clone(), self.subject.clone(), part).await
    }
}

async fn chunk(file: Arc<File>, subject: String, part: Range<u64>) -> Result<Vec<u8>, Trouble> {
    let wanted = (part.end - part.start) as usize;
    let mut room = vec![0; wanted];
    let got = read(&file, &mut room, part.start).await;
    let got = got.map_err(|error| Trouble::io(&subject, error))?;
    if got < wanted {
        let problem = format!("{subject} became shorter while it was read");
        return Err(Trouble::new(Kind::Corrupt, problem));
    }
    Ok(room)
}

/// Chunks of at most 1 MiB that are asked for at the same time; two more wait in the stream.
const AHEAD: usize = 4;
const _: () = assert!(AHEAD * MIB <= 8 * MIB);
