//! `check`: the folders and files that a config names, asked what a run would do with them.
//! Nothing is made and nothing is opened; what lies on a server is for `connect`.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::config::raw::{Hooks, Require};
use crate::config::{Config, Draft, Job, Mark, Node, Problem, Problems, Severity, Storage};
use crate::plan::{Entry, Main, Survey};
use crate::storages;

/// Finds what a run would stumble over. Folders of storages are left out where they are `reached`
/// for real.
pub(crate) fn problems(config: &Config, survey: &Survey, reached: bool) -> Problems {
    let mut found = Found::default();
    if let Some(main) = &survey.main {
        found.look_at_main(config.main(), main);
    }
    for entry in config.read_notify(None, &mut Problems::default()) {
        if entry.common.enable != Some(false) {
            found.look_at_files(&entry.node, &entry.path, Severity::Error);
        }
    }
    for (index, entry) in survey.jobs.iter().enumerate().filter(|(_, entry)| entry.is_enabled()) {
        found.look_at_job(&mut config.draft(index), entry, config.main(), reached);
    }
    found.0
}

#[derive(Default)]
struct Found(Problems);

impl Found {
    fn say(&mut self, severity: Severity, mark: &Mark, path: &str, message: String) {
        self.0.push(Problem { severity, ..Problem::error(mark, path, message) });
    }

    /// Says of what `key` of `node` names why it will not do, if it was fetched.
    fn blame(
        &mut self,
        severity: Severity,
        node: &Node,
        key: &str,
        path: &str,
        why: Option<String>,
    ) {
        let is_pending = node.get(key).is_some_and(Node::is_pending);
        if let Some(why) = why.filter(|_| !is_pending) {
            self.say(severity, node.mark_of(key), path, format!("`{key}`: {why}"));
        }
    }

    fn look_at_main(&mut self, node: &Node, main: &Main) {
        let error = Severity::Error;
        self.blame(error, node, "state_dir", "main", not_writable(&main.state_dir));
        if let Some(file) = &main.log_file {
            let key = if node.get("log_file").is_some() { "log_file" } else { "log_file_name" };
            let why = match main.log_rotation {
                None if file.exists() => no_log(file),
                _ => not_writable(folder_of(file)),
            };
            self.blame(error, node, key, "main", why);
        }
        if let (Some(file), Some(metrics)) = (&main.textfile, node.get("metrics")) {
            self.blame(error, metrics, "textfile", "main.metrics", not_there(folder_of(file)));
        }
        let uses_smtp = node.get("smtp_server").is_some();
        self.look_at_files(node, "main", if uses_smtp { error } else { Severity::Note });
    }

    fn look_at_job(&mut self, draft: &mut Draft, entry: &Entry, main: &Node, reached: bool) {
        let Job { keys, sources, storages } = draft.read();
        let prepares = |hooks: &Hooks| !hooks.before.is_empty();
        let hooks = keys.as_ref().and_then(|keys| keys.hooks.as_ref());
        // What a hook mounts or fetches need not be there yet.
        let bad = if hooks.is_some_and(prepares) { Severity::Note } else { Severity::Error };
        let own = keys.as_ref().and_then(|keys| keys.tmp_dir.as_deref());
        let usual = entry.as_job().map(|job| job.tmp_dir.as_path());
        // What no job says is said once for all.
        let (node, path) = if own.is_some() { (&draft.node, &*draft.path) } else { (main, "main") };
        let tmp_dir = own.or(usual).filter(|folder| folder.is_absolute());
        self.blame(bad, node, "tmp_dir", path, tmp_dir.and_then(not_writable));
        for source in &sources {
            let is_pg = draft.type_word().is_some_and(|word| word.starts_with("postgresql"));
            let connect = source.node.get("connect");
            let mode = connect.and_then(|connect| connect.get("ssl_mode")).and_then(Node::text);
            // Without these libpq goes on, unless the certificate must be good.
            let is_spare = is_pg && !mode.is_some_and(|mode| mode.starts_with("verify"));
            let bad = if is_spare { Severity::Note } else { bad };
            self.look_at_files(&source.node, &source.path, bad);
            if let Some(connect) = connect {
                self.look_at_files(connect, &source.path, bad);
            }
        }
        let on = |storage: &&Storage| storage.common.enable != Some(false);
        let any = keys.as_ref().is_some_and(|keys| keys.require == Some(Require::Any));
        let is_spare = any && storages.iter().filter(on).count() > 1;
        let bad = if is_spare { Severity::Note } else { bad };
        for storage in storages.iter().filter(on) {
            self.look_at_files(&storage.node, &storage.path, bad);
            if !reached {
                self.look_at_local(storage, bad);
            }
        }
    }

    fn look_at_local(&mut self, storage: &Storage, bad: Severity) {
        let storages::Config::Local(local) = &storage.config else { return };
        let why = match local.must_be_mounted {
            _ if !local.backup_dir.is_absolute() => None,
            true => not_there(&local.backup_dir),
            false => not_writable(&local.backup_dir),
        };
        self.blame(bad, &storage.node, "backup_dir", &storage.path, why);
    }

    /// Looks at the files that keys of `node` itself name.
    fn look_at_files(&mut self, node: &Node, path: &str, bad: Severity) {
        let word = node.get("accept_new").and_then(Node::text).map(str::to_lowercase);
        let learns = word.is_some_and(|word| ["yes", "true", "on", "y"].contains(&word.trim()));
        for entry in node.entries() {
            let key = entry.key.as_str();
            // A file that learns new hosts is made.
            if !FILES.contains(&key) || (key == "known_hosts" && learns) {
                continue;
            }
            let file = entry.value.text().and_then(at_home);
            self.blame(bad, node, key, path, file.and_then(|file| not_readable(&file)));
        }
    }
}

/// Returns an absolute path, also of what lies below `~/`; nothing for any other word.
fn at_home(text: &str) -> Option<PathBuf> {
    match text.strip_prefix("~/") {
        Some(inner) => Some(PathBuf::from(std::env::var_os("HOME")?).join(inner)),
        None => Some(PathBuf::from(text)).filter(|path| path.is_absolute()),
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// Says why nothing could be put into `folder`, which is made where it is missing.
fn not_writable(folder: &Path) -> Option<String> {
    let at = folder.ancestors().find(|at| at.symlink_metadata().is_ok())?;
    let why = not_there(at)?;
    Some(match at == folder {
        true => why,
        false => format!("{} cannot be made: {why}", folder.display()),
    })
}

/// Says why nothing could be put into a folder that must be there.
fn not_there(folder: &Path) -> Option<String> {
    let name = folder.display();
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Some(format!("{name} is no folder")),
        Ok(_) => {
            let why = refusal(folder, Access::WRITE_OK | Access::EXEC_OK)?;
            Some(format!("{name} cannot be written: {why}"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Some(match folder.is_symlink() {
            true => format!("{name} is a link that leads nowhere"),
            false => format!("{name} is missing"),
        }),
        Err(error) => Some(format!("{name} cannot be written: {error}")),
    }
}

/// Says why no line could be added to a log file that is there.
fn no_log(file: &Path) -> Option<String> {
    if file.is_dir() {
        return Some(format!("{} is a folder", file.display()));
    }
    let why = refusal(file, Access::WRITE_OK)?;
    Some(format!("{} cannot be written: {why}", file.display()))
}

/// Says why a file could not be read.
fn not_readable(file: &Path) -> Option<String> {
    if file.is_dir() {
        return Some(format!("{} is a folder", file.display()));
    }
    let why = refusal(file, Access::READ_OK)?;
    Some(format!("{} cannot be read: {why}", file.display()))
}

/// Asks the system, which knows of owners, ACLs and disks that are read-only.
fn refusal(path: &Path, access: Access) -> Option<io::Error> {
    accessat(CWD, path, access, AtFlags::EACCESS).err().map(io::Error::from)
}

/// Keys that name a file to read, in every spelling.
const FILES: [&str; 21] = [
    "auth_file",
    "ca_file",
    "cert",
    "cert_file",
    "key",
    "key_file",
    "known_hosts",
    "mongo_tls_CA_file",
    "mongo_tls_ca_file",
    "mysql_auth_file",
    "path_to_conf",
    "path_to_key",
    "psql_ssl_crl",
    "psql_ssl_root_cert",
    "smtp_ca_file",
    "ssl_ca",
    "ssl_cert",
    "ssl_crl",
    "ssl_key",
    "ssl_root_cert",
    "recipients_file",
];
