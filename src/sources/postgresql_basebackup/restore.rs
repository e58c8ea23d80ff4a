//! How a copy of a cluster is unpacked and made ready: its data, each tablespace in a folder of its
//! own, checked against the server's manifest, and never linked to where the original has them.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::base::BoxError;
use crate::sources::postgresql::programs;
use crate::sources::postgresql::server::Version;
use crate::sources::postgresql_basebackup::local::TAR;
use crate::sources::postgresql_basebackup::steps::{Ready, Space, steps};
use crate::sources::postgresql_basebackup::{CLUSTER, Cluster, Laid};
use crate::sources::{Error, Kind, Preparer, Result, Stored};
use crate::stream::ByteStream;

#[async_trait]
impl Preparer for Cluster {
    async fn unpack(&self, stored: &Stored, dump: ByteStream, folder: &Path) -> Result<()> {
        let laid = Laid::below(folder);
        make(&laid.inbox).map_err(|error| failed(&laid.inbox, error))?;
        self.untar(&stored.target, dump, &laid.inbox).await
    }

    async fn prepare(&self, dir: &Path, _: &[&Path]) -> Result<Vec<String>> {
        let laid = Laid::below(dir);
        if laid.inbox.join("base.tar").is_file() {
            self.unpack_parts(&laid).await?;
        } else {
            fs::rename(&laid.inbox, &laid.data).map_err(|error| failed(&laid.data, error))?;
        }
        own_like_its_files(&laid).map_err(|error| failed(&laid.data, error))?;
        let is_whole = laid.data.join("PG_VERSION").is_file();
        let major = fs::read_to_string(laid.data.join("PG_VERSION")).unwrap_or_default();
        let (true, Ok(major)) = (is_whole, major.trim().parse()) else {
            return Err(failed(&laid.data, "it holds no PG_VERSION, so it is no cluster"));
        };
        let spaces = spaces(&laid).map_err(|error| failed(&laid.tablespaces, error))?;
        let verified = self.verify(&laid, major).await?;
        // Only now: the manifest knows the map as it was.
        redirect(&laid, &spaces).map_err(|error| failed(&laid.data, error))?;
        Ok(steps(&Ready { data: &laid.data, major, spaces: &spaces, verified }))
    }
}

impl Cluster {
    async fn untar(&self, subject: &str, tar: ByteStream, into: &Path) -> Result<()> {
        let program = TAR.require(subject)?;
        let call = self.server.plain_call(&program, subject).arg("-C").arg(into);
        call.args(["--extract", "--preserve-permissions", "--file=-"]).feed(tar).await
    }

    /// Takes the tars of a local copy apart.
    async fn unpack_parts(&self, laid: &Laid) -> Result<()> {
        make(&laid.data).map_err(|error| failed(&laid.data, error))?;
        for name in names(&laid.inbox).map_err(|error| failed(&laid.inbox, error))? {
            let part = laid.inbox.join(&name);
            let into = match name.strip_suffix(".tar") {
                Some("base") => laid.data.clone(),
                Some("pg_wal") => laid.data.join("pg_wal"),
                Some(oid) if oid.bytes().all(|byte| byte.is_ascii_digit()) => {
                    laid.tablespaces.join(oid)
                }
                _ => {
                    let to = laid.data.join(&name);
                    fs::rename(&part, &to).map_err(|error| failed(&to, error))?;
                    continue;
                }
            };
            make(&into).map_err(|error| failed(&into, error))?;
            let program = TAR.require(CLUSTER)?;
            let call = self.server.plain_call(&program, CLUSTER).arg("-C").arg(&into);
            let call = call.args(["--extract", "--preserve-permissions", "--file"]).arg(&part);
            call.output(LONGEST).await?;
            fs::remove_file(&part).map_err(|error| failed(&part, error))?;
        }
        fs::remove_dir(&laid.inbox).map_err(|error| failed(&laid.inbox, error))
    }

    /// Checks every file against the server's manifest, where pg_verifybackup is installed.
    ///
    /// Errors: what it found.
    async fn verify(&self, laid: &Laid, major: u32) -> Result<Option<String>> {
        let version = Version { major, text: major.to_string() };
        let found = programs::fitting(&self.server, "pg_verifybackup", &version).await;
        let Some(program) = found.ok().filter(|program| program.major == major) else {
            return Ok(None);
        };
        let call = self.server.plain_call(&program.path, CLUSTER).arg("--quiet").arg(&laid.data);
        call.output(LONGEST).await.map_err(|error| Error {
            kind: Kind::Tool,
            subject: laid.data.display().to_string(),
            problem: "the copy does not fit the server's manifest and must not be used".to_owned(),
            source: Some(error.into()),
        })?;
        Ok(Some(program.version))
    }
}

/// Reads where the tablespaces were, and links them to where they are now.
fn spaces(laid: &Laid) -> io::Result<Vec<Space>> {
    let map = match fs::read_to_string(laid.data.join(MAP)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        map => map?,
    };
    let mut spaces = Vec::new();
    for line in map.lines() {
        let Some((oid, was)) = line.split_once(' ') else { continue };
        let is = laid.tablespaces.canonicalize()?.join(oid);
        let link = laid.data.join("pg_tblspc").join(oid);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => symlink(&is, &link)?,
        }
        spaces.push(Space { oid: oid.to_owned(), was: PathBuf::from(was), is });
    }
    Ok(spaces)
}

/// Makes the server of the copy use its own tablespaces: by the map as it was it would take those
/// of the original, which may be in use.
fn redirect(laid: &Laid, spaces: &[Space]) -> io::Result<()> {
    if spaces.is_empty() {
        return Ok(());
    }
    let lines = spaces.iter().map(|space| format!("{} {}\n", space.oid, space.is.display()));
    // Written over, so that its owner and mode stay.
    fs::write(laid.data.join(MAP), lines.collect::<String>())
}

fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Gives the folders that we made to whom the files belong: a tar has only what is in them.
fn own_like_its_files(laid: &Laid) -> io::Result<()> {
    let version = laid.data.join("PG_VERSION");
    if !version.is_file() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(version)?;
    let own = |path: &Path| chown(path, Some(owner.uid()), Some(owner.gid()));
    own(&laid.data)?;
    if laid.tablespaces.exists() {
        for name in names(&laid.tablespaces)? {
            own(&laid.tablespaces.join(name))?;
        }
        own(&laid.tablespaces)?;
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn failed(path: &Path, why: impl Into<BoxError>) -> Error {
    Error {
        kind: Kind::Other,
        subject: path.display().to_string(),
        problem: "the copy could not be made ready".to_owned(),
        source: Some(why.into()),
    }
}

/// Where the server wrote which tablespace was where.
const MAP: &str = "tablespace_map";
/// Reading a whole cluster once.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
