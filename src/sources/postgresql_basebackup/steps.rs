//! What a person does with a copy that was made ready.

use std::path::{Path, PathBuf};

/// A tablespace of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// Its number, the name of its link.
    pub(super) oid: String,
    /// Where it was on the original server.
    pub(super) was: PathBuf,
    /// Where it is now.
    pub(super) is: PathBuf,
}

/// A copy that is ready.
pub(super) struct Ready<'a> {
    /// Its data directory.
    pub(super) data: &'a Path,
    /// Its major version.
    pub(super) major: u32,
    /// Its tablespaces.
    pub(super) spaces: &'a [Space],
    /// The version of pg_verifybackup, which found it good; `None` where it is not installed.
    pub(super) verified: Option<String>,
}

/// Spells the next steps, a line each.
pub(super) fn steps(ready: &Ready<'_>) -> Vec<String> {
    let Ready { data, major, spaces, verified } = ready;
    let at = shell_words::quote(&data.display().to_string()).into_owned();
    let mut lines = vec![match verified {
        Some(version) => {
            format!("every file of {at} fits the server's manifest (pg_verifybackup {version})")
        }
        None => format!(
            "not checked against the server's manifest: pg_verifybackup {major} is not installed \
             (package postgresql-{major} or postgresql{major}-server); pg_verifybackup {at}{}",
            if spaces.is_empty() { "" } else { " --ignore=tablespace_map" }
        ),
    }];
    for space in *spaces {
        lines.push(format!(
            "tablespace {}: was at {}, is at {} and linked there; to move it, change \
             {at}/tablespace_map and {at}/pg_tblspc/{}",
            space.oid,
            space.was.display(),
            space.is.display(),
            space.oid
        ));
    }
    let folder = data.parent().unwrap_or(data).display().to_string();
    lines.extend([
        format!(
            "it needs PostgreSQL {major}, and its user must own it and be let in: chown -R \
             postgres: {}",
            shell_words::quote(&folder)
        ),
        format!(
            "if {at}/postgresql.conf is missing (Debian keeps it in /etc/postgresql/{major}/main), \
             copy it there, with pg_hba.conf and pg_ident.conf"
        ),
        "leave backup_label where it is: without it the copy starts broken".to_owned(),
        "to try it beside a running server, without archiving into the archive of the original:"
            .to_owned(),
        format!(
            "  runuser -u postgres -- /usr/lib/postgresql/{major}/bin/pg_ctl -D {at} -w -o '-p 5439 \
             -c archive_mode=off' start"
        ),
        format!(
            "to take the place of a server: stop it, move its data directory away, move {at} there, \
             start it"
        ),
    ]);
    if data.join("standby.signal").exists() {
        lines.push(format!(
            "it will be a standby of its primary; to make it a server of its own: rm \
             {at}/standby.signal"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_name_version_folder_and_tablespaces() {
        let space =
            Space { oid: "16384".into(), was: "/ssd/ts".into(), is: "/r/tablespaces/16384".into() };
        let ready = Ready {
            data: Path::new("/r/my data"),
            major: 15,
            spaces: &[space],
            verified: Some("15.18".to_owned()),
        };
        let said = steps(&ready).join("\n");
        for part in ["'/r/my data'", "PostgreSQL 15", "was at /ssd/ts", "pg_verifybackup 15.18"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let unchecked = steps(&Ready { verified: None, ..ready });
        assert!(unchecked[0].contains("package postgresql-15"), "{unchecked:?}");
    }
}
