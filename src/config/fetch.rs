//! Values from elsewhere: `!env`, `!file`, `!cmd`. What is fetched is secret: it is never shown,
//! and the variables it came from do not reach children.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::config::load::read_text;
use crate::config::node::{Node, Tag, Value};
use crate::config::problem::{Problem, Problems};
use crate::config::trust::Trust;

/// Fetches values, each only once.
pub struct Fetcher {
    trust: Trust,
    hidden: BTreeSet<String>,
    known: HashMap<(Asked, String), Result<String, String>>,
    patience: Duration,
}

/// Where a value lies; a file counts from the folder of the config file that names it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Asked {
    Env,
    File(PathBuf),
    Cmd(PathBuf),
}

impl Fetcher {
    /// Makes a fetcher for the values of `config`.
    pub fn new(config: &Config) -> Self {
        let (trust, hidden) = (config.trust(), config.env_names());
        Self { trust, hidden, known: HashMap::new(), patience: PATIENCE }
    }

    /// Fetches what a job needs: not for storages that are off.
    pub(crate) fn fill_job(&mut self, job: &mut Node, path: &str, problems: &mut Problems) {
        let Value::Map(entries) = &mut job.value else { return };
        for entry in entries {
            let path = format!("{path}.{}", entry.key);
            match &mut entry.value.value {
                Value::List(storages) if entry.key == "storages" => {
                    for (index, storage) in storages.iter_mut().enumerate() {
                        if !storage.is_off() {
                            self.fill(storage, &format!("{path}[{index}]"), problems);
                        }
                    }
                }
                _ => self.fill(&mut entry.value, &path, problems),
            }
        }
    }

    /// Fetches what `main` itself needs; defaults, templates and named storages are fetched in the
    /// jobs, and each entry of `notify` on its own.
    pub(crate) fn fill_main(&mut self, main: &mut Node, problems: &mut Problems) {
        let Value::Map(entries) = &mut main.value else { return };
        let elsewhere = ["defaults", "storage_connects", "templates", "notify"];
        for entry in entries {
            if !elsewhere.contains(&entry.key.as_str()) {
                self.fill(&mut entry.value, &format!("main.{}", entry.key), problems);
            }
        }
    }

    /// Fetches all below `node`.
    pub(crate) fn fill(&mut self, node: &mut Node, path: &str, problems: &mut Problems) {
        match &mut node.value {
            Value::Scalar(text) => {
                let Some(tag) = node.tag.filter(|tag| *tag != Tag::Include) else { return };
                let folder = node.mark.folder().to_owned();
                match self.fetch(tag, text, folder) {
                    Ok(value) => {
                        node.value = Value::Scalar(value);
                        node.tag = None;
                        node.secret = true;
                    }
                    Err(error) => problems.push(Problem::error(&node.mark, path, error)),
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.fill(item, &format!("{path}[{index}]"), problems);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    self.fill(&mut entry.value, &format!("{path}.{}", entry.key), problems);
                }
            }
        }
    }

    fn fetch(&mut self, tag: Tag, text: &str, folder: PathBuf) -> Result<String, String> {
        let asked = match tag {
            Tag::Env => Asked::Env,
            Tag::File => Asked::File(folder),
            Tag::Cmd => Asked::Cmd(folder),
            Tag::Include => return Err("an include stood here and could not be read".to_owned()),
        };
        let key = (asked.clone(), text.to_owned());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let value = match asked {
            Asked::Env => variable(text),
            Asked::File(folder) => {
                read_text(&folder.join(text), self.trust).map_err(|(problem, _)| problem)
            }
            Asked::Cmd(folder) => self.output(text, folder),
        };
        let value = value.and_then(|value| match value.trim_end_matches(['\n', '\r']) {
            "" => Err(format!("`{text}` gives nothing")),
            value => Ok(value.to_owned()),
        });
        self.known.insert(key, value.clone());
        value
    }

    /// Runs a command with a shell, in the folder of the config file.
    fn output(&self, line: &str, folder: PathBuf) -> Result<String, String> {
        let wrong = |problem: String| format!("the command {problem}");
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).process_group(0);
        if !folder.as_os_str().is_empty() {
            command.current_dir(folder);
        }
        for name in &self.hidden {
            command.env_remove(name);
        }
        let mut child =
            command.spawn().map_err(|error| wrong(format!("could not start: {error}")))?;
        let stdout = child.stdout.take();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = stdout.map(|pipe| pipe.take(MOST_BYTES + 1).read_to_end(&mut text));
            sender.send(read.is_some_and(|read| read.is_ok()).then_some(text)).ok();
        });
        let until = Instant::now() + self.patience;
        let text = receiver.recv_timeout(self.patience).ok().flatten();
        let status = text.as_ref().and_then(|_| wait(&mut child, until));
        if status.is_none() {
            end(&mut child);
        }
        match (text, status) {
            (Some(text), Some(status)) if status.success() => {
                if text.len() as u64 > MOST_BYTES {
                    return Err(wrong(format!("printed more than {} KiB", MOST_BYTES >> 10)));
                }
                String::from_utf8(text).map_err(|_| wrong("printed no UTF-8 text".to_owned()))
            }
            (_, Some(status)) => Err(wrong(format!("failed ({status})"))),
            (_, None) => Err(wrong(format!("did not end within {} s", self.patience.as_secs()))),
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Err(format!("the environment variable {name} is empty")),
        Ok(value) => Ok(value),
        Err(std::env::VarError::NotPresent) => {
            Err(format!("the environment variable {name} is not set"))
        }
        Err(_) => Err(format!("the environment variable {name} is not UTF-8")),
    }
}

/// Waits for a child that has closed its output.
fn wait(child: &mut Child, until: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}

/// Kills a child with all that it started: it leads a group of its own.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).ok();
    }
    child.kill().ok();
    child.wait().ok();
}

const PATIENCE: Duration = Duration::from_secs(30);
const MOST_BYTES: u64 = 256 << 10;

#[cfg(test)]
mod tests;
