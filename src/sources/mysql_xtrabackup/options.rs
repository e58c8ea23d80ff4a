//! `extra_keys` of the physical tools: what is refused, and what 2.x's templates wrote that today's
//! tools do not know.

use crate::sources::mysql::{ExtraKeys, Rules};

/// What `extra_keys` may say to mariadb-backup and xtrabackup.
pub(super) const RULES: Rules = Rules {
    refused: &[
        (
            &["target-dir", "extra-lsndir", "tmpdir", "datadir"],
            "where it reads and writes is given by the job",
        ),
        (
            &["prepare", "copy-back", "move-back", "decompress", "decrypt", "apply-log", "export"],
            "it would do something else than a backup",
        ),
        (
            &[
                "incremental",
                "incremental-basedir",
                "incremental-dir",
                "incremental-lsn",
                "incremental-history-name",
                "incremental-history-uuid",
            ],
            "`incremental` on the job decides what a copy builds on",
        ),
        (
            &["compress", "encrypt", "encrypt-key", "encrypt-key-file"],
            "the job compresses, and what is inside must be ready to be prepared",
        ),
        (
            &["host", "port", "socket", "user", "password", "login-path"],
            "how the server is reached stands under `connect`",
        ),
        (
            &["defaults-file", "defaults-extra-file", "defaults-group-suffix", "no-defaults"],
            "the server's option file goes by `connect.path_to_conf`",
        ),
        (&["help", "version", "print-defaults", "print-param"], "it would print no backup"),
        (&["log-innodb-page-corruption"], "a damaged page must not pass for a good copy"),
    ],
    short: &[
        ('u', "user"),
        ('H', "host"),
        ('P', "port"),
        ('p', "password"),
        ('S', "socket"),
        ('h', "datadir"),
        ('t', "tmpdir"),
        ('v', "version"),
        ('?', "help"),
    ],
    with_value: &[
        "throttle",
        "parallel",
        "databases",
        "databases-exclude",
        "tables",
        "tables-exclude",
        "stream",
        "user",
        "host",
        "port",
        "socket",
        "password",
        "datadir",
        "tmpdir",
        "target-dir",
        "extra-lsndir",
        "use-memory",
        "ftwrl-wait-timeout",
        "kill-long-queries-timeout",
        "safe-slave-backup-timeout",
    ],
};

/// Says what is refused.
pub(super) fn problems(extra: &ExtraKeys) -> Vec<String> {
    ExtraKeys(sorted(extra).0).problems(&RULES)
}

/// Says what is left out.
pub(super) fn notices(extra: &ExtraKeys) -> Vec<String> {
    let told = |word| {
        format!("extra_keys: `{word}` of nxs-backup 2.x is left out: today's tools do not know it")
    };
    sorted(extra).1.into_iter().map(told).collect()
}

/// Returns the words that go to the tool, the form of the stream apart, which we set.
pub(super) fn for_tool(extra: &ExtraKeys) -> Vec<String> {
    sorted(extra).0
}

/// Parts the words into those for the tool and those that only 2.x knew.
fn sorted(extra: &ExtraKeys) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut left) = (Vec::new(), Vec::new());
    let mut words = extra.0.iter().peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--no-timestamp" | "--compact" | "./" | "." | "--stream=tar" => left.push(word.clone()),
            "--stream=xbstream" | "--stream=mbstream" | "--backup" => {}
            "--stream" => left.extend(words.next_if(|next| *next == "tar").cloned()),
            _ => kept.push(word.clone()),
        }
    }
    (kept, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(line: &str) -> ExtraKeys {
        ExtraKeys(shell_words::split(line).unwrap())
    }

    #[test]
    fn the_template_of_2_x_loses_what_today_is_unknown_and_says_so() {
        let extra = keys(" --no-timestamp --compact --throttle=5 --stream=tar ./");
        assert_eq!(for_tool(&extra), ["--throttle=5"]);
        assert_eq!(notices(&extra).len(), 4);
        assert_eq!(problems(&extra), [""; 0]);
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for line in [
            "--target-dir=/x",
            "--prepare",
            "--incremental-lsn=5",
            "--compress",
            "-psecret",
            "--copy-b",
            "x",
        ] {
            assert_eq!(problems(&keys(line)).len(), 1, "{line}");
        }
        assert_eq!(problems(&keys("--parallel=4 --slave-info --tables-exclude x")), [""; 0]);
    }
}
