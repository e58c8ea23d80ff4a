//! Which options of mongodump a config may give: whole names, as the tool reads them.

use crate::base::Wrong;
use crate::sources::tool::Words;

/// Says which of `words` would change what is dumped or where it goes, or show a password.
pub(super) fn problems(words: &Words) -> Vec<Wrong> {
    let words = match words.split() {
        Ok(words) => words,
        Err(error) => {
            return vec![Wrong::new("extra_keys", format!("`extra_keys` cannot be read: {error}"))];
        }
    };
    let refused = words.iter().filter_map(|word| refused(word));
    refused.map(|message| Wrong::new("extra_keys", message)).collect()
}

fn refused(word: &str) -> Option<String> {
    if word.starts_with("mongodb://") || word.starts_with("mongodb+srv://") {
        return Some("`extra_keys` must not hold an address: say `connect`".to_owned());
    }
    let name = word.split('=').next().unwrap_or_default();
    let is_short = word.starts_with('-') && !word.starts_with("--");
    let (option, instead) = REFUSED.iter().find_map(|(long, short, instead)| {
        let is_meant = match is_short {
            // `-dNAME` and `-d=NAME` are `-d NAME`.
            true => short.is_some_and(|short| word[1..].starts_with(short)),
            false => name.strip_prefix("--") == Some(*long),
        };
        is_meant.then_some((*long, *instead))
    })?;
    Some(format!("`extra_keys` must not hold `--{option}`: {instead}"))
}

/// Long name, short name, and what to do instead.
const REFUSED: &[(&str, Option<char>, &str)] = &[
    ("out", Some('o'), "the dump goes to the storages"),
    ("archive", None, "the dump goes to the storages"),
    ("gzip", None, "say `compress: gzip` on the source"),
    ("db", Some('d'), "name it in `target_dbs`"),
    ("collection", Some('c'), "name it in `target_collections`"),
    ("excludeCollection", None, "name it in `exclude_collections`"),
    ("excludeCollectionsWithPrefix", None, "name them in `exclude_collections`"),
    ("host", Some('h'), "say `connect.db_host`"),
    ("port", None, "say `connect.db_port`"),
    ("username", Some('u'), "say `connect.db_user`"),
    ("password", Some('p'), "everybody could read it: say `connect.db_password`"),
    ("authenticationDatabase", None, "say `connect.auth_db`"),
    ("uri", None, "everybody could read it: say `connect`"),
    ("config", None, "it is written by nxs-backup: say `connect.db_password`"),
    ("ssl", None, "say `connect.tls: yes`"),
    ("sslCAFile", None, "say `connect.ca_file`"),
    ("sslPEMKeyFile", None, "say `connect.cert_file`"),
    ("sslPEMKeyPassword", None, "everybody could read it: take a key without one"),
    ("help", None, "nothing would be dumped"),
    ("version", None, "nothing would be dumped"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(text: &str) -> usize {
        problems(&Words::text(text)).len()
    }

    #[test]
    fn what_changes_the_dump_or_shows_a_secret_is_refused_by_whole_names() {
        for bad in ["--out=/x", "-o /x", "-o/x", "--db x", "-dx", "--gzip", "-p secret", "'open"] {
            assert_eq!(blamed(bad), 1, "{bad}");
        }
        for good in
            ["", "--readPreference=secondary", "--numParallelCollections 2", "--oplog", "-v"]
        {
            assert_eq!(blamed(good), 0, "{good}");
        }
        assert_eq!(blamed("--outer --dbPath"), 0);
    }

    #[test]
    fn a_message_never_holds_the_value() {
        let wrong = problems(&Words::text("--password=hunter2 -phunter2"));
        assert_eq!(wrong.len(), 2);
        assert!(wrong.iter().all(|wrong| !wrong.message.contains("hunter2")), "{wrong:?}");
    }
}
