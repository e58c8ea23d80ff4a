//! Who is told how a run went, out of the keys of `main`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Time;

use crate::base::{PENDING, Wrong};
use crate::config::{self, Config, Fetcher, Node, Notify, Problem, Problems, raw};
use crate::notify::mail::{self, Article, Server, Tls, address_problem};
use crate::notify::{Channel, Rule, Setting, Severity, When};

/// Who can be told of a config that is broken, as far as its `main` can be read.
pub struct Alarm {
    /// Who we are, or a word for it.
    pub server_name: String,
    /// Where reports wait.
    pub state_dir: PathBuf,
    /// Who is told.
    pub notify: Vec<Channel>,
}

/// Reads who can be told from a config that cannot be resolved.
pub fn alarm(config: &Config) -> Option<Alarm> {
    let config = config.salvaged();
    let mut fetcher = Fetcher::new(&config);
    let mut problems = Problems::default();
    let raw = config.read_main(Some(&mut fetcher), &mut problems)?;
    let entries = config.read_notify(Some(&mut fetcher), &mut problems);
    let secret_env = config.env_names();
    let notify = channels(config.main(), &raw, &entries, &secret_env, &mut problems);
    let state_dir = raw.state_dir.filter(|path| path.is_absolute());
    let state_dir = state_dir.unwrap_or_else(|| PathBuf::from(super::resolve::STATE_DIR));
    Some(Alarm { server_name: raw.server_name, state_dir, notify })
}

/// Makes the channels; what is wrong goes to `problems`, and what is good is made all the same.
pub(crate) fn channels(
    node: &Node,
    raw: &raw::Main,
    entries: &[Notify],
    secret_env: &BTreeSet<String>,
    problems: &mut Problems,
) -> Vec<Channel> {
    let server = server(node, raw, problems);
    let setting = Setting { mail: &server, secret_env };
    let timeout = raw.smtp_timeout.map_or(TIMEOUT, |span| span.0);
    let mut all = mail::channels(&article(node, raw, timeout, problems), &setting);
    for entry in entries {
        let made = entry_channels(entry, &setting, timeout, problems);
        for mut channel in made {
            if all.iter().any(|known| known.name == channel.name) {
                if entry.common.name.is_some() {
                    let message =
                        format!("something else in `notify` is called `{}`", channel.name);
                    let mark = entry.node.mark_of("name");
                    problems.push(Problem::error(mark, &entry.path, message));
                }
                channel.name = free_name(&channel.name, &all);
            }
            all.push(channel);
        }
    }
    all
}

/// `slack`, `slack 2`, `slack 3` …
fn free_name(name: &str, taken: &[Channel]) -> String {
    let is_free = |name: &String| taken.iter().all(|channel| channel.name != *name);
    let numbered = (2..).map(|number: u32| format!("{name} {number}"));
    { numbered }.find(is_free).unwrap_or_else(|| name.to_owned())
}

fn server(node: &Node, raw: &raw::Main, problems: &mut Problems) -> Server {
    let mut say = |key: &str, message: &str| {
        problems.push(Problem::error(node.mark_of(key), "main", message));
    };
    let tls = match (raw.smtp_ssl.unwrap_or(false), raw.smtp_tls.unwrap_or(false)) {
        (true, true) => {
            say(
                "smtp_tls",
                "`smtp_ssl` (TLS from the first byte) and `smtp_tls` (STARTTLS) exclude each other",
            );
            Tls::Implicit
        }
        (true, false) => Tls::Implicit,
        (false, true) => Tls::Start,
        (false, false) => Tls::None,
    };
    if raw.smtp_port == Some(0) {
        say("smtp_port", "`smtp_port` must lie between 1 and 65535");
    }
    if raw.smtp_ca_file.as_deref().is_some_and(|path: &Path| !path.is_absolute()) {
        say("smtp_ca_file", "`smtp_ca_file` must be an absolute path");
    }
    let login = match (&raw.smtp_user, &raw.smtp_password) {
        (Some(user), Some(password)) => Some((user.clone(), password.clone())),
        _ => None,
    };
    // As in 2.x: many servers take mail only from the one who logged in.
    let user = raw.smtp_user.as_deref().filter(|user| *user != PENDING && user.contains('@'));
    let user = user.filter(|user| raw.smtp_server.is_some() && address_problem(user).is_none());
    let from = user.map(str::to_owned).or_else(|| raw.mail_from.clone());
    if let Some(why) = raw.mail_from.as_deref().and_then(address_problem) {
        say("mail_from", &why);
    }
    let (host, port) = (raw.smtp_server.clone(), raw.smtp_port);
    Server { host, port, tls, login, ca_file: raw.smtp_ca_file.clone(), from }
}

fn article(node: &Node, raw: &raw::Main, timeout: Duration, problems: &mut Problems) -> Article {
    let mut good = |key: &str, addresses: &[String]| {
        let mut kept = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            match address_problem(address) {
                None => kept.push(address.clone()),
                Some(why) => {
                    let (mark, _) = node.at(&format!("{key}[{index}]"));
                    problems.push(Problem::error(mark, "main", why));
                }
            }
        }
        kept
    };
    let admins = good("admin_mail", &raw.admin_mail);
    let clients = good("client_mail", &raw.client_mail);
    let level = raw.level_message.unwrap_or(raw::LevelMessage::Error);
    Article { admins, clients, whole_log: level != raw::LevelMessage::Error, timeout }
}

fn entry_channels(
    entry: &Notify,
    setting: &Setting<'_>,
    mail_timeout: Duration,
    problems: &mut Problems,
) -> Vec<Channel> {
    let Notify { path, node, kind, common, config } = entry;
    if common.enable == Some(false) {
        return Vec::new();
    }
    let Some(rule) = rule(entry, problems) else { return Vec::new() };
    let timeout = if kind.name == "mail" { mail_timeout } else { TIMEOUT };
    let timeout = common.timeout.map_or(timeout, |span| span.0);
    if timeout.is_zero() {
        let message = "`timeout` must be longer than nothing: a notifier that hangs must end";
        problems.push(Problem::error(node.mark_of("timeout"), path, message));
    }
    let name = common.name.clone().unwrap_or_else(|| kind.name.to_owned());
    let retries = common.retries.unwrap_or(RETRIES);
    if retries > MOST_RETRIES {
        let message = format!(
            "`retries` may be {MOST_RETRIES} at most: what is not taken is kept for the next run"
        );
        problems.push(Problem::error(node.mark_of("retries"), path, message));
    }
    let base =
        Channel { name, kind: kind.name, rule, timeout, retries, notifier: Err(String::new()) };
    let config = match config {
        Ok(config) => config,
        Err(why) => return vec![Channel { notifier: Err(why.clone()), ..base }],
    };
    let is_fetched = |wrong: &&Wrong| node.at(&wrong.key).1.is_some_and(|value| value.secret);
    let wrong = config.section().problems();
    let (fetched, written): (Vec<_>, Vec<_>) = wrong.iter().partition(is_fetched);
    problems.extend(written.iter().filter_map(|wrong| config::blame(node, path, wrong)));
    if !written.is_empty() {
        return Vec::new();
    }
    // As a value that could not be fetched: it stops this entry, and no backup.
    if let Some(problem) = fetched.iter().find_map(|wrong| config::blame(node, path, wrong)) {
        return vec![Channel { notifier: Err(problem.brief()), ..base }];
    }
    let named = |part: &str| match part {
        "" => base.name.clone(),
        part => format!("{}: {part}", base.name),
    };
    let made = config.section().connect(setting).into_iter();
    made.map(|(part, notifier)| Channel {
        name: named(&part),
        notifier: Ok(notifier),
        ..base.clone()
    })
    .collect()
}

fn rule(entry: &Notify, problems: &mut Problems) -> Option<Rule> {
    let common = &entry.common;
    let when = match (common.send.unwrap_or(raw::SendWhen::PerRun), common.at.as_deref()) {
        (raw::SendWhen::PerRun, _) => When::PerRun,
        (raw::SendWhen::OnChange, _) => When::OnChange,
        (raw::SendWhen::Daily, None | Some(PENDING)) => When::Daily(MORNING),
        (raw::SendWhen::Daily, Some(at)) => match Time::strptime("%H:%M", at) {
            Ok(at) => When::Daily(at),
            Err(_) => {
                let message = format!("`{at}` is not an hour of the day, such as `07:00`");
                let mark = entry.node.mark_of("at");
                problems.push(Problem::error(mark, &entry.path, message));
                return None;
            }
        },
    };
    if common.at.is_some() && !matches!(when, When::Daily(_)) {
        let message = "`at` is the hour of a message that is sent `daily`: say `send: daily`";
        problems.push(Problem::error(entry.node.mark_of("at"), &entry.path, message));
    }
    let level = match (common.level, when) {
        (Some(raw::NotifyLevel::Error), _) => Severity::Error,
        (Some(raw::NotifyLevel::Warning), _) => Severity::Warning,
        (Some(raw::NotifyLevel::Info), _) | (None, When::Daily(_)) => Severity::Info,
        (None, _) => Severity::Error,
    };
    Some(Rule { when, level, with_log: common.with_log.unwrap_or(false) })
}

const MORNING: Time = Time::constant(7, 0, 0, 0);
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;
/// With these a run waits about three minutes for somebody who takes nothing.
const MOST_RETRIES: u32 = 10;
