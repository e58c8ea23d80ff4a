//! A copy becomes a folder that a server can start on.

use std::path::Path;

use async_trait::async_trait;

use crate::sources::mysql::{Flavour, Program};
use crate::sources::mysql_xtrabackup::copy::{BACKUP, MARK, name_of};
use crate::sources::mysql_xtrabackup::{TARGET, Xtrabackup};
use crate::sources::tool::{Call, Last, Tool};
use crate::sources::{Error, Kind, Preparer, Result, Stored};
use crate::stream::{ByteStream, DumpFacts};

/// What unpacks the streams of both families.
const UNPACK: Tool = Tool {
    names: &["mbstream", "xbstream"],
    deb: "mariadb-backup (or percona-xtrabackup-84)",
    rpm: "mariadb-backup",
    folders: &[],
};

#[async_trait]
impl Preparer for Xtrabackup {
    async fn unpack(&self, _stored: &Stored, dump: ByteStream, folder: &Path) -> Result<()> {
        let tool = UNPACK.require(TARGET)?;
        let call = self.client.call_within(&tool, TARGET, None);
        call.arg("-x").arg("-C").arg(folder).feed(dump).await
    }

    async fn prepare(&self, dir: &Path, increments: &[&Path]) -> Result<Vec<String>> {
        let tool = self.tool_for(dir).await?;
        for at in 0..=increments.len() {
            let call = self.client.call_within(&tool.path, TARGET, None);
            let call = call.arg("--prepare").arg(format!("--target-dir={}", dir.display()));
            let increment = at.checked_sub(1).map(|at| increments[at]);
            let call = call.args(increment.map(|it| format!("--incremental-dir={}", it.display())));
            // xtrabackup would undo what a later increment goes on with; mariadb-backup never does.
            let goes_on = tool.flavour == Flavour::MySql && at < increments.len();
            run(call.args(goes_on.then_some("--apply-log-only"))).await?;
        }
        Ok(steps(&name_of(&tool), dir))
    }
}

impl Xtrabackup {
    /// Finds the tool of the family that made the copy.
    async fn tool_for(&self, dir: &Path) -> Result<Program> {
        let mut programs = self.client.programs(&BACKUP).await?;
        let info = ["xtrabackup_info", "mariadb_backup_info"];
        let text = info.iter().find_map(|name| std::fs::read_to_string(dir.join(name)).ok());
        let text = text.ok_or_else(|| Error {
            kind: Kind::Other,
            subject: dir.display().to_string(),
            problem: "holds no `xtrabackup_info`: what was unpacked is no copy of a server".into(),
            source: None,
        })?;
        let is_maria = text.lines().any(|line| line.contains("MariaDB"));
        let fits = |one: &Program| (one.flavour == Flavour::Maria) == is_maria;
        let best = programs.iter().position(fits).unwrap_or(0);
        Ok(programs.swap_remove(best))
    }
}

/// Runs a tool that talks on stderr alone, and demands its last words.
async fn run(call: Call) -> Result<()> {
    let dump = call.dump(|last: &Last| match last.stderr.last() {
        Some(line) if line.trim_end().ends_with(MARK) => Ok(DumpFacts::default()),
        line => Err(format!(
            "ended without '{MARK}': {}",
            line.map_or("it said nothing", String::as_str)
        )),
    })?;
    dump.bytes.drain().await.map(|_| ()).map_err(|error| Error {
        kind: Kind::Tool,
        subject: TARGET.to_owned(),
        problem: "could not be made ready".into(),
        source: Some(error.into()),
    })
}

/// What a person does next; nothing of it is done for them.
fn steps(tool: &str, dir: &Path) -> Vec<String> {
    let dir = shell_words::quote(&dir.to_string_lossy()).into_owned();
    vec![
        format!("The copy in {dir} is prepared. To put it in place, as root:"),
        "  1. stop the server:            systemctl stop mariadb     (MySQL: mysql)".into(),
        "  2. move the old files away:    mv /var/lib/mysql /var/lib/mysql.old".into(),
        "     and make the folder:        mkdir -m 700 /var/lib/mysql".into(),
        format!("  3. copy the files back:        {tool} --copy-back --target-dir={dir}"),
        "  4. give them to the server:    chown -R mysql:mysql /var/lib/mysql".into(),
        "  5. start the server:           systemctl start mariadb    (MySQL: mysql)".into(),
    ]
}
