//! A cluster that cannot be streamed: tars in a private folder, then one tar of them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::base::BoxError;
use crate::sources::postgresql::programs::Program;
use crate::sources::postgresql::server::Version;
use crate::sources::postgresql_basebackup::{Cluster, END_MARK, facts};
use crate::sources::tool::{PrivateFolder, Tool};
use crate::sources::{Error, Kind, Result, Target};
use crate::stream::{ByteStream, Dump};

impl Cluster {
    /// Copies everything into a folder of `tmp_dir`, which goes with the stream, then reads that.
    pub(super) async fn copy_first(
        &self,
        target: &Target,
        program: &Program,
        version: &Version,
    ) -> Result<Dump> {
        let tar = TAR.require(&self.server.subject)?;
        let copy = PrivateFolder::new(&self.server.tmp_dir).map_err(|error| Error {
            kind: Kind::Other,
            subject: target.name.clone(),
            problem: format!(
                "no local copy can be made in {} (see `tmp_dir`)",
                self.server.tmp_dir.display()
            ),
            source: Some(error.into()),
        })?;
        let into = copy.path().join("copy");
        let (call, folder) = self.call(program, &into, "stream", None)?;
        let copied = call.dump(move |_| {
            let _until_its_end = folder;
            Ok(Default::default())
        })?;
        tokio::select! {
            done = drain(copied.bytes, target) => done?,
            // Dropped, the stream ends the program.
            error = self.stands_still(&into) => return Err(error),
        }
        let parts = parts(&into).map_err(|why| spoiled(target, why))?;
        let mut facts = facts(program, version);
        facts.checked = Some("exit code, tars and the server's manifest".to_owned());
        let call = self.server.plain_call(&tar, &target.name).arg("-C").arg(&into);
        call.args(["--create", "--file=-", "--"]).args(parts).dump(move |_| {
            let _until_its_end = copy;
            Ok(facts)
        })
    }
}

impl Cluster {
    /// Waits until a copy has not grown for as long as the server may be silent; the program itself
    /// prints nothing.
    async fn stands_still(&self, copy: &Path) -> Error {
        let Some(silence) = self.server.silence else { return std::future::pending().await };
        let (mut bytes, mut since) = (0, Instant::now());
        while since.elapsed() < silence {
            tokio::time::sleep(silence.min(LOOK)).await;
            let now = bytes_below(copy);
            if now != bytes {
                (bytes, since) = (now, Instant::now());
            }
        }
        Error {
            kind: Kind::Tool,
            subject: self.server.subject.clone(),
            problem: format!(
                "pg_basebackup gave nothing for {} s and was ended: the source's `timeout` sets how \
                 long to wait",
                silence.as_secs()
            ),
            source: None,
        }
    }
}

fn bytes_below(copy: &Path) -> u64 {
    let entries = std::fs::read_dir(copy).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

async fn drain(bytes: ByteStream, target: &Target) -> Result<()> {
    bytes.drain().await.map(drop).map_err(|error| match error.reason::<Error>() {
        Some(own) => Error {
            kind: own.kind,
            subject: own.subject.clone(),
            problem: own.problem.clone(),
            source: None,
        },
        None => spoiled(target, error.into()),
    })
}

/// The files of a copy, each of them whole: that of the server's manifest comes last.
fn parts(copy: &Path) -> std::result::Result<Vec<String>, BoxError> {
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(copy)? {
        let name = entry?.file_name();
        parts.push(name.into_string().map_err(|name| format!("{name:?} is no name of a part"))?);
    }
    parts.sort_by_key(|name| (name == MANIFEST, name.clone()));
    for part in &parts {
        let end = end_of(&copy.join(part))?;
        let is_whole = match part == MANIFEST {
            true => String::from_utf8_lossy(&end).contains(END_MARK),
            false => {
                part.ends_with(".tar") && end.len() == TAR_END && end.iter().all(|byte| *byte == 0)
            }
        };
        if !is_whole {
            return Err(format!("{part} is not whole").into());
        }
    }
    for needed in ["base.tar", "pg_wal.tar", MANIFEST] {
        if !parts.iter().any(|part| part == needed) {
            return Err(format!("{needed} is missing").into());
        }
    }
    Ok(parts)
}

fn end_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAR_END as u64)))?;
    let mut end = Vec::with_capacity(TAR_END);
    file.read_to_end(&mut end)?;
    Ok(end)
}

fn spoiled(target: &Target, why: BoxError) -> Error {
    Error {
        kind: Kind::Tool,
        subject: target.name.clone(),
        problem: "pg_basebackup made a copy that is not whole".to_owned(),
        source: Some(why),
    }
}

const LOOK: Duration = Duration::from_secs(5);
const MANIFEST: &str = "backup_manifest";
/// A tar ends with two empty blocks.
const TAR_END: usize = 1024;
/// Joins the parts, and takes them apart again.
pub(super) const TAR: Tool = Tool { names: &["tar"], deb: "tar", rpm: "tar", folders: &[] };
