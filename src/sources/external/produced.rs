//! The file that a script has made: what must be true of it, its bytes, and its end.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use rustix::fs::{Mode, OFlags};

use crate::base::{BoxError, KIB};
use crate::sources::external::answer::Answer;
use crate::stream::{self, ByteStream, Closed, Dump, DumpFacts, Feeder, Pending, Produced};

/// Opens the file that a script names; it began at `began`.
///
/// Must be called inside a tokio runtime. Errors: a sentence that says what is wrong with it.
pub(super) fn open(answer: &Answer, began: SystemTime) -> Result<Produced, String> {
    let found = Found::open(&answer.path, began)
        .map_err(|why| format!("dump_cmd made {}, which {why}", answer.path.display()))?;
    let (feeder, bytes) = ByteStream::channel(DEPTH);
    let (promise, facts) = Pending::new();
    let id = found.id;
    tokio::task::spawn_blocking(move || match found.pour(&feeder) {
        Ok(()) => {
            promise.keep(DumpFacts::default());
            feeder.blocking_finish().ok();
        }
        Err(error) => feeder.blocking_fail(error),
    });
    let path = answer.path.clone();
    Ok(Produced {
        dump: Dump { bytes, facts },
        base: answer.base.clone().into_bytes(),
        ext: answer.whole_ext(),
        is_compressed: answer.gzip,
        location: answer.path.display().to_string(),
        remove: Box::new(move || remove(&path, id)),
    })
}

/// A file that may be read.
#[derive(Debug)]
struct Found {
    file: File,
    path: PathBuf,
    id: Id,
    bytes: u64,
    changed: (i64, i64),
}

/// What tells a file from every other: device and inode.
type Id = (u64, u64);

impl Found {
    /// Errors: what speaks against it, as the end of a sentence.
    fn open(path: &Path, began: SystemTime) -> Result<Self, String> {
        let is_link = || {
            "is a link: name the file itself, which alone is certainly what the command made"
                .to_owned()
        };
        refuse_system(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| match error {
            rustix::io::Errno::LOOP => is_link(),
            rustix::io::Errno::NOENT => "does not exist".to_owned(),
            error => format!("could not be opened: {error}"),
        })?);
        let real =
            fs::canonicalize(path).map_err(|error| format!("could not be found: {error}"))?;
        refuse_system(&real)?;
        let meta = file.metadata().map_err(|error| format!("could not be looked at: {error}"))?;
        if meta.is_dir() {
            return Err("is a folder: pack it first".to_owned());
        }
        if !meta.is_file() {
            return Err("is no regular file".to_owned());
        }
        if meta.len() == 0 {
            return Err("is empty".to_owned());
        }
        refuse_old(&meta, began)?;
        let (id, changed) = ((meta.dev(), meta.ino()), (meta.ctime(), meta.ctime_nsec()));
        Ok(Self { file, path: path.to_owned(), id, bytes: meta.len(), changed })
    }

    /// Hands over the bytes; a file that changes meanwhile is not whole.
    fn pour(mut self, feeder: &Feeder) -> Result<(), stream::Error> {
        let mut sent = 0;
        loop {
            let mut chunk = BytesMut::zeroed(CHUNK);
            let read = match self.file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(&format!("could not be read: {error}"))),
            };
            chunk.truncate(read);
            sent += read as u64;
            let handed: Result<(), Closed> = feeder.blocking_send(chunk.freeze());
            handed?;
        }
        let meta = self.file.metadata()?;
        if sent != self.bytes || (meta.ctime(), meta.ctime_nsec()) != self.changed {
            return Err(self.broken("changed while it was read: is the command still at work?"));
        }
        Ok(())
    }

    fn broken(&self, problem: &str) -> stream::Error {
        stream::Error::new(format!("{}: {problem}", self.path.display()))
    }
}

/// A script may name what it likes; what the system lives by is not for us to read and remove.
fn refuse_system(path: &Path) -> Result<(), String> {
    let first = path.components().find_map(|part| match part {
        Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    });
    let top = first.unwrap_or_default();
    if SYSTEM.contains(&top) || top.starts_with(b"lib") {
        let top = String::from_utf8_lossy(top);
        return Err(format!("lies below /{top}, a folder of the system: let it be made elsewhere"));
    }
    Ok(())
}

/// What was there before the command began is not what it made.
fn refuse_old(meta: &fs::Metadata, began: SystemTime) -> Result<(), String> {
    let changed = Duration::from_secs(meta.ctime().try_into().unwrap_or(0));
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = began.saturating_sub(changed + SLACK);
    if age.is_zero() {
        return Ok(());
    }
    let secs = (began.saturating_sub(changed)).as_secs();
    Err(format!("is an old file: it changed last {secs} s before the command began"))
}

/// Removes the file if it is still the one that was read.
fn remove(path: &Path, id: Id) -> Result<(), BoxError> {
    let wrong = |problem: String| format!("{} {problem}", path.display());
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(|error| wrong(format!("could not be looked at: {error}")))?,
    };
    if (meta.dev(), meta.ino()) != id {
        return Err(wrong("is another file now: it was not removed".to_owned()).into());
    }
    Ok(fs::remove_file(path).map_err(|error| wrong(format!("could not be removed: {error}")))?)
}

const SYSTEM: [&[u8]; 9] =
    [b"bin", b"boot", b"dev", b"etc", b"proc", b"run", b"sbin", b"sys", b"usr"];
/// Clocks of file systems are coarse.
const SLACK: Duration = Duration::from_secs(2);
/// Chunks that wait: with [`CHUNK`] at most 1 MiB.
const DEPTH: usize = 4;
const CHUNK: usize = 256 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    fn why(path: &Path) -> String {
        Found::open(path, SystemTime::now()).map(drop).unwrap_err()
    }

    #[test]
    fn only_a_regular_new_file_outside_the_system_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("good"), "data").unwrap();
        fs::write(at("empty"), "").unwrap();
        std::os::unix::fs::symlink(at("good"), at("link")).unwrap();
        std::os::unix::fs::symlink("/etc", at("etc")).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
        assert!(Found::open(&at("good"), SystemTime::now()).is_ok());
        for (path, said) in [
            (at("absent"), "does not exist"),
            (at("empty"), "is empty"),
            (at("link"), "is a link"),
            (at("pipe"), "is no regular file"),
            (folder.path().to_owned(), "is a folder"),
            ("/etc/passwd".into(), "lies below /etc, a folder of the system"),
            ("/lib64/x".into(), "lies below /lib64"),
            (at("etc/passwd"), "lies below /etc"),
            (at("../../etc/passwd"), "lies below /etc"),
        ] {
            assert!(why(&path).contains(said), "{}: {}", path.display(), why(&path));
        }
        let later = SystemTime::now() + Duration::from_secs(60);
        let old = Found::open(&at("good"), later).map(drop).unwrap_err();
        assert!(old.contains("is an old file"), "{old}");
        assert!(Found::open(&at("good"), SystemTime::now() + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn only_the_file_that_was_read_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        fs::write(&path, "one").unwrap();
        let found = Found::open(&path, SystemTime::now()).unwrap();
        fs::rename(&path, folder.path().join("kept")).unwrap();
        fs::write(&path, "another").unwrap();
        let error = remove(&path, found.id).unwrap_err().to_string();
        assert!(error.contains("is another file now") && path.exists(), "{error}");
        fs::rename(folder.path().join("kept"), &path).unwrap();
        remove(&path, found.id).unwrap();
        assert!(!path.exists());
        remove(&path, found.id).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_grows_while_it_is_read_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        fs::write(&path, vec![1; 4 << 20]).unwrap();
        let (base, ext) = ("b".to_owned(), "t".to_owned());
        let answer = Answer { path: path.clone(), base, ext, gzip: false };
        let made = open(&answer, SystemTime::now()).unwrap();
        let mut bytes = made.dump.bytes;
        bytes.next().await.unwrap().unwrap();
        use std::io::Write;
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        let error = bytes.drain().await.unwrap_err();
        assert!(error.to_string().contains("changed while it was read"), "{error}");
        assert!(made.dump.facts.get().await.is_err());
    }
}
