//! The way back: a folder with `dump.rdb`, and what to do with it.

use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;

use crate::base::BoxError;
use crate::sources::form::checked;
use crate::sources::redis::NAME;
use crate::sources::redis::rdb::{HEAD, Rdb, server_of};
use crate::sources::{Error, Kind, Preparer, Result, Stored};
use crate::stream::{ByteStream, Dump, DumpFacts};

/// Writes `dump.rdb` and says what to do with it.
pub(super) struct ToFile;

#[async_trait]
impl Preparer for ToFile {
    async fn unpack(&self, _stored: &Stored, dump: ByteStream, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let dump = checked(NAME, Dump::new(dump, DumpFacts::default()), Rdb::new());
        write(dump.bytes, &path).await.map_err(|error| Error {
            kind: Kind::Other,
            subject: NAME.to_owned(),
            problem: format!("could not be written to {}", path.display()),
            source: Some(error),
        })
    }

    async fn prepare(&self, dir: &Path, _increments: &[&Path]) -> Result<Vec<String>> {
        let path = dir.join(FILE);
        let head = head(&path).map_err(|error| Error {
            kind: Kind::Other,
            subject: NAME.to_owned(),
            problem: format!("{} could not be read", path.display()),
            source: Some(error.into()),
        })?;
        Ok(steps(&path, server_of(&head).as_deref()))
    }
}

async fn write(mut bytes: ByteStream, path: &Path) -> std::result::Result<(), BoxError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = tokio::fs::File::from_std(options.open(path)?);
    while let Some(chunk) = bytes.next().await? {
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(file.sync_all().await?)
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// What a person does next, one sentence or command a line.
fn steps(path: &Path, server: Option<&str>) -> Vec<String> {
    let path = shell_words::quote(&path.to_string_lossy()).into_owned();
    let server = server.unwrap_or("an unknown server");
    vec![
        format!("{path} is whole. It was made by {server}; an older server may refuse it."),
        "1. Stop the server: at its end it may write a dump of its own.".to_owned(),
        "     systemctl stop redis-server".to_owned(),
        "2. Put the file where `dir` and `dbfilename` of redis.conf say.".to_owned(),
        format!("     install -o redis -g redis -m 660 {path} /var/lib/redis/dump.rdb"),
        "3. If redis.conf says `appendonly yes`: set it to `no` and move the folder appendonlydir \
         away; the server would read that instead of the dump."
            .to_owned(),
        "4. Start the server and look at the number of keys.".to_owned(),
        "     systemctl start redis-server && redis-cli INFO keyspace".to_owned(),
        "5. If it was `appendonly yes`: redis-cli CONFIG SET appendonly yes; wait until \
         aof_rewrite_in_progress of `redis-cli INFO persistence` is 0; then set it in redis.conf."
            .to_owned(),
    ]
}

const FILE: &str = "dump.rdb";
