//! How a dump is loaded into a server, and how a physical copy is made ready.
//!
//! A dump is read, decoded and checked once from its beginning to its end before anything is
//! touched; what the server has under that name is dumped to a file; only then is it loaded, and
//! the digests are compared again.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::base::{BoxError, chain, component, display};
use crate::catalogue::Manifest;
use crate::plan::JobSource;
use crate::restore::apply::{Checked, Error, How, Restored, other, progress};
use crate::restore::holdings::Held;
use crate::restore::pick::Choice;
use crate::sources::{self, Loader, Preparer, Stored, Target};
use crate::stream::{self, Codec, Dump, Payload, compress};

/// Where a dump goes.
pub struct Goal<'a> {
    /// The source whose server gets it.
    pub source: &'a JobSource,
    /// What takes it there.
    pub loader: &'a dyn Loader,
    /// The name that it gets there.
    pub into: &'a str,
    /// The folder for a dump of what is replaced; `None` for no such dump.
    pub rescue: Option<&'a Path>,
}

/// What was loaded.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What came back.
    pub restored: Restored,
    /// Where the former content was dumped to, when there was one.
    pub rescued: Option<PathBuf>,
}

/// Loads `choice`, from the first storage whose copy is good.
///
/// Errors: before anything was touched, when no storage gives a good copy or the dump must not be
/// loaded there; afterwards with the tool's own last words.
pub async fn into_server(choice: &Choice<'_>, goal: &Goal<'_>, how: &How) -> Result<Loaded, Error> {
    let mut tries = Vec::new();
    for held in &choice.held {
        match inspect(held, goal, how).await {
            Ok(()) => {
                let rescued = rescue(held, goal, how).await?;
                let mut restored = load(held, goal, how)
                    .await
                    .map_err(|error| not_loaded(goal.into, rescued.as_deref(), &error))?;
                restored.warnings.extend(tries);
                return Ok(Loaded { restored, rescued });
            }
            Err(_) if how.cancel.is_cancelled() => return Err(Error::Cancelled),
            Err(error) => tries.push(format!("'{}': {}", held.place.name, chain(&error))),
        }
    }
    Err(Error::EveryStorage { target: display(&choice.manifest.target), tries })
}

/// Says what a failed load left.
fn not_loaded(into: &str, rescued: Option<&Path>, error: &Error) -> Error {
    let why = chain(error);
    let source = match error {
        Error::Other(error) => error.downcast_ref::<sources::Error>(),
        _ => None,
    };
    if source.is_some_and(|error| error.kind == sources::Kind::Untouched) {
        return other(format!("nothing was loaded, and nothing was changed: {why}"));
    }
    let kept = rescued
        .map_or(String::new(), |path| format!("; what was there before is in {}", path.display()));
    other(format!("{into} is not whole now and must not be trusted{kept}: {why}"))
}

/// Reads everything once; nothing is changed.
async fn inspect(held: &Held<'_>, goal: &Goal<'_>, how: &How) -> Result<(), Error> {
    let mut checked = Checked::open(held);
    let raw = stream::stoppable(checked.take(), &how.cancel);
    goal.loader.inspect(&stored(held), goal.into, raw).await.map_err(other)?;
    checked.compare(&held.stored.manifest).await
}

async fn load(held: &Held<'_>, goal: &Goal<'_>, how: &How) -> Result<Restored, Error> {
    let mut checked = Checked::open(held);
    let raw = stream::stoppable(checked.take(), &how.cancel);
    let raw = stream::watched(raw, progress(held, how));
    let stored = stored(held);
    let mut work = goal.loader.load(&stored, goal.into, raw);
    let loaded = tokio::select! {
        loaded = &mut work => loaded,
        // Its input has broken; a tool that does not hear of that is ended with the work.
        () = how.cancel.cancelled() => match tokio::time::timeout(GRACE, &mut work).await {
            Ok(loaded) => loaded,
            Err(_) => return Err(Error::Cancelled),
        },
    };
    loaded.map_err(other)?;
    checked.compare(&held.stored.manifest).await?;
    let (bytes, place) = (held.stored.manifest.raw_bytes, held.place.name.clone());
    Ok(Restored { files: 1, bytes, place, ..Restored::default() })
}

/// Dumps what is there now to a file, compressed.
async fn rescue(held: &Held<'_>, goal: &Goal<'_>, how: &How) -> Result<Option<PathBuf>, Error> {
    let Some(folder) = goal.rescue else { return Ok(None) };
    let Some(target) = goal.loader.present(&stored(held), goal.into).await.map_err(other)? else {
        return Ok(None);
    };
    let wrong = |error: BoxError| {
        let (into, folder) = (goal.into, folder.display());
        other(format!(
            "what {into} holds now could not be dumped to {folder} first, so nothing was changed \
             (--no-rescue does without): {}",
            chain(&*error)
        ))
    };
    let dumped = dump_to(folder, &target, goal.source, how).await;
    let closed = goal.source.source.close().await;
    let path = dumped.map_err(wrong)?;
    closed.map_err(|error| wrong(error.into()))?;
    Ok(Some(path))
}

async fn dump_to(
    folder: &Path,
    target: &Target,
    source: &JobSource,
    how: &How,
) -> Result<PathBuf, BoxError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let Payload::Dump(Dump { bytes, .. }) = source.source.open(target).await? else {
        return Err("it is no dump".into());
    };
    let codec = Codec::Zstd.by_default();
    let (mut framed, _) = compress(stream::stoppable(bytes, &how.cancel), codec, 1);
    let mut part = tempfile::Builder::new().prefix(".nxs-rescue-").tempfile_in(folder)?;
    while let Some(chunk) = framed.next().await? {
        part.write_all(&chunk)?;
    }
    part.as_file().sync_all()?;
    let stamp = jiff::Zoned::now().strftime("%Y-%m-%d_%H-%M-%S").to_string();
    let (name, ext) = (component(target.name.as_bytes()), &target.ext);
    let path = folder.join(format!("{name}_{stamp}.{ext}{}", codec.codec.suffix()));
    part.persist_noclobber(&path)?;
    Ok(path)
}

/// Unpacks a physical copy, with what it builds on, into `dir` and makes it ready; gives the next steps for a person.
///
/// Errors: [`Error::EveryStorage`]; what was written must not be trusted then.
pub async fn prepared(
    choice: &Choice<'_>,
    preparer: &dyn Preparer,
    dir: &Path,
    how: &How,
) -> Result<(Restored, Vec<String>), Error> {
    // What was there before is not ours to remove: then there is no second try.
    let was_empty = fs::read_dir(dir).map_err(other)?.next().is_none();
    let mut tries = Vec::new();
    for (number, held) in choice.held.iter().enumerate() {
        match unpack_all(choice, held, preparer, dir, how).await {
            Ok((mut restored, increments)) => {
                let parts: Vec<&Path> = increments.iter().map(TempDir::path).collect();
                let steps = preparer.prepare(dir, &parts).await.map_err(other)?;
                restored.warnings.extend(tries);
                return Ok((restored, steps));
            }
            Err(_) if how.cancel.is_cancelled() => return Err(Error::Cancelled),
            Err(error) => {
                tries.push(format!("'{}': {}", held.place.name, chain(&error)));
                if !was_empty || number + 1 == choice.held.len() {
                    break;
                }
                // The next try must not be mixed with what this one left.
                empty(dir).map_err(other)?;
            }
        }
    }
    Err(Error::EveryStorage { target: display(&choice.manifest.target), tries })
}

/// Unpacks the full copy into `dir` and each later one into a folder of its own beside it, gone
/// with its value, which are given back in order.
///
/// Not below it: tools take away what they do not know there.
async fn unpack_all<'a>(
    choice: &Choice<'a>,
    held: &Held<'a>,
    preparer: &dyn Preparer,
    dir: &Path,
    how: &How,
) -> Result<(Restored, Vec<TempDir>), Error> {
    let links: Vec<Held<'_>> = choice.above(held)?.into_iter().chain([*held]).collect();
    let (mut all, mut increments) = (Restored::default(), Vec::new());
    for (number, link) in links.iter().enumerate() {
        if number > 0 {
            increments.push(beside(dir, number)?);
        }
        let folder = increments.last().map_or(dir, TempDir::path);
        let one = unpack(link, preparer, folder, how).await?;
        (all.files, all.bytes, all.place) =
            (all.files + one.files, all.bytes + one.bytes, one.place);
    }
    Ok((all, increments))
}

/// Makes a folder for an increment, on the same disk as what it will be applied to.
fn beside(dir: &Path, number: usize) -> Result<TempDir, Error> {
    let real = dir.canonicalize().map_err(other)?;
    let above = real.parent().unwrap_or(&real);
    let made =
        tempfile::Builder::new().prefix(&format!(".nxs-increment-{number}-")).tempdir_in(above);
    made.map_err(|error| {
        let above = above.display();
        other(format!("{above}: no folder for an increment can be made there: {error}"))
    })
}

async fn unpack(
    held: &Held<'_>,
    preparer: &dyn Preparer,
    dir: &Path,
    how: &How,
) -> Result<Restored, Error> {
    let mut checked = Checked::open(held);
    let raw = stream::stoppable(checked.take(), &how.cancel);
    let raw = stream::watched(raw, progress(held, how));
    preparer.unpack(&stored(held), raw, dir).await.map_err(other)?;
    checked.compare(&held.stored.manifest).await?;
    let (bytes, place) = (held.stored.manifest.raw_bytes, held.place.name.clone());
    Ok(Restored { files: 1, bytes, place, ..Restored::default() })
}

fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Finds the source of the config that an artefact came from.
pub fn source_of<'a>(choice: &Choice<'a>) -> Option<&'a JobSource> {
    let job = choice.held.iter().find_map(|held| held.job)?;
    let named = |source: &&JobSource| source.name == choice.manifest.source;
    match job.sources.as_slice() {
        [only] if choice.manifest.source.is_none() => Some(only),
        // One that is left of several may be another server.
        sources => sources.iter().find(named),
    }
}

/// What a source needs to know of a stored dump.
fn stored(held: &Held<'_>) -> Stored {
    let manifest = &held.stored.manifest;
    Stored {
        target: manifest.target.clone(),
        ext: ext(manifest),
        raw_bytes: manifest.raw_bytes,
        server_version: manifest.server_version.clone(),
    }
}

/// The extension in a key: what follows the stamp, without that of the compression.
fn ext(manifest: &Manifest) -> String {
    let name = manifest.segments[0].key.name();
    let name = name.strip_suffix(manifest.compression.codec.suffix()).unwrap_or(name);
    let stamp = manifest.local_start().strftime("_%Y-%m-%d_%H-%M-%S").to_string();
    let rest = name.rsplit_once(&stamp).map_or("", |(_, rest)| rest);
    rest.split_once('.').map_or("", |(_, ext)| ext).to_owned()
}

/// How long a load may clean up after itself when somebody asked to stop.
const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Key;
    use crate::catalogue::sample;

    #[test]
    fn the_extension_is_what_follows_the_stamp() {
        let mut manifest = sample();
        let stamp = manifest.local_start().strftime("%Y-%m-%d_%H-%M-%S").to_string();
        let mut of = |name: String| {
            manifest.segments[0].key = Key::new(format!("a.b_c/daily/{name}")).unwrap();
            ext(&manifest)
        };
        assert_eq!(of(format!("a.b_c_{stamp}.pgdump.sql.zst")), "pgdump.sql");
        assert_eq!(of(format!("a.b_c_{stamp}-2.sql.zst")), "sql");
        assert_eq!(of(format!("a_{stamp}")), "");
    }
}
