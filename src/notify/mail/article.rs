//! Who gets mail by the keys of 2.x in `main`: administrators hear of errors only, clients of
//! errors or of everything.

use std::time::Duration;

use crate::notify::mail::notifier;
use crate::notify::{Channel, Rule, Setting, Severity, When};

/// The keys of 2.x.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Article {
    /// `admin_mail`: hear of errors.
    pub admins: Vec<String>,
    /// `client_mail`: hear of errors, or of everything.
    pub clients: Vec<String>,
    /// `level_message` is `debug` or `info`: clients get the whole log of every run.
    pub whole_log: bool,
    /// How long one try may take.
    pub timeout: Duration,
}

/// Makes the channels; who is both hears what clients hear.
pub fn channels(article: &Article, setting: &Setting<'_>) -> Vec<Channel> {
    let clients = article.clients.iter().map(|to| (to, hears(true, article.whole_log)));
    let admins = article.admins.iter().map(|to| (to, hears(false, article.whole_log)));
    let mut channels: Vec<Channel> = Vec::new();
    for (to, rule) in clients.chain(admins) {
        let name = format!("mail to {}", to.trim());
        if channels.iter().any(|channel| channel.name == name) {
            continue;
        }
        let notifier = Ok(notifier(setting.mail, to, setting.secret_env));
        let timeout = article.timeout;
        channels.push(Channel { name, kind: "mail", rule, timeout, retries: RETRIES, notifier });
    }
    channels
}

fn hears(is_client: bool, whole_log: bool) -> Rule {
    let everything = is_client && whole_log;
    let level = if everything { Severity::Info } else { Severity::Error };
    Rule { when: When::PerRun, level, with_log: everything }
}

const RETRIES: u32 = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::notify::mail::Server;

    #[test]
    fn who_gets_what_is_as_in_the_article() {
        const NOTHING: Option<&str> = None;
        const ERRORS: Option<&str> = Some("errors");
        const WHOLE: Option<&str> = Some("the whole log");
        // `level_message`, errors in the run, what the administrator gets, what the client gets.
        let table = [
            ("error", false, NOTHING, NOTHING),
            ("error", true, ERRORS, ERRORS),
            ("info", false, NOTHING, WHOLE),
            ("info", true, ERRORS, WHOLE),
            ("debug", false, NOTHING, WHOLE),
            ("debug", true, ERRORS, WHOLE),
        ];
        for (level_message, errors, admin, client) in table {
            let article = Article {
                admins: vec!["admin@a.example".into()],
                clients: vec!["client@b.example".into()],
                whole_log: level_message != "error",
                timeout: Duration::from_secs(10),
            };
            let (server, none) = (Server::default(), BTreeSet::new());
            let channels = channels(&article, &Setting { mail: &server, secret_env: &none });
            let severity = if errors { Severity::Error } else { Severity::Info };
            let gets = |name: &str| {
                let found = channels.iter().find(|channel| channel.name.ends_with(name)).unwrap();
                let hears = severity >= found.rule.level;
                hears.then_some(if found.rule.with_log { "the whole log" } else { "errors" })
            };
            assert_eq!(gets("admin@a.example"), admin, "{level_message}, errors: {errors}");
            assert_eq!(gets("client@b.example"), client, "{level_message}, errors: {errors}");
        }
    }

    #[test]
    fn who_is_administrator_and_client_gets_one_message() {
        let both = || vec!["a@a.example".to_owned()];
        let article =
            Article { admins: both(), clients: both(), whole_log: true, ..Article::default() };
        let (server, none) = (Server::default(), BTreeSet::new());
        let channels = channels(&article, &Setting { mail: &server, secret_env: &none });
        assert_eq!(channels.len(), 1);
        assert!(channels[0].rule.with_log);
    }
}
