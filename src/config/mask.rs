//! Which words of a config are secrets, and how lines look without them.

/// Tells whether the value of `key` must never be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    WORDS.iter().any(|word| key.contains(word)) || NAMES.contains(&key.as_str())
}

/// Returns a line of YAML with the values of secret keys, and passwords in URLs, as `***`.
///
/// A key that is nearly a secret one counts: a typo must not print a password.
pub(crate) fn line(line: &str) -> String {
    for (at, _) in line.match_indices(':') {
        let head = line[..at].trim_end_matches(['"', '\'', ' ']);
        let word = head.rsplit(|ch: char| !(ch.is_alphanumeric() || ch == '_' || ch == '-'));
        let word = word.into_iter().next().unwrap_or_default();
        let value = line[at + 1..].trim();
        let is_url = word.len() <= 4 && strsim::damerau_levenshtein(word, "url") <= 1;
        if is_url && !value.is_empty() {
            return format!("{}: {}", &line[..at], address(value));
        }
        if !value.is_empty() && (is_secret(word) || is_nearly_secret(word)) {
            return format!("{}: ***", &line[..at]);
        }
    }
    url(line)
}

/// Returns a text with the password of a URL in it as `***`.
pub(crate) fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', ' ', '\'', '"']).next().unwrap_or_default();
    match authority.rsplit_once('@').and_then(|(login, _)| login.split_once(':')) {
        None => text.to_owned(),
        Some((user, password)) => {
            let after = &rest[user.len() + 1 + password.len()..];
            format!("{scheme}://{user}:***{after}")
        }
    }
}

/// An address of a webhook is a secret behind its host.
fn address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return "***".to_owned() };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/***")
}

fn is_nearly_secret(word: &str) -> bool {
    let word = word.to_lowercase();
    ["password", "passphrase", "secret_access_key", "smtp_password", "token", "db_password"]
        .iter()
        .any(|secret| strsim::damerau_levenshtein(&word, secret) <= secret.len() / 4)
}

const WORDS: [&str; 7] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "authorization"];
const NAMES: [&str; 4] = ["pass", "pwd", "pw", "auth"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_survives() {
        let cases = [
            ("    password: hunter2", "    password: ***"),
            ("{user: a, 'db_password' : hunter2}", "{user: a, 'db_password' : ***"),
            ("passwrod: hunter2 # old", "passwrod: ***"),
            ("smtp_pasword: x", "smtp_pasword: ***"),
            ("host: https://me:hunter2@host/x", "host: https://me:***@host/x"),
            ("url: https://me:hunter2@host", "url: https://host/***"),
            ("- {url: https://host/hunter2, level: info}", "- {url: https://host/***"),
            ("ulr: hunter2", "ulr: ***"),
            ("Authorization: Bearer hunter2", "Authorization: ***"),
            ("tmp_dir: /var/tmp", "tmp_dir: /var/tmp"),
            ("password:", "password:"),
        ];
        for (line, shown) in cases {
            assert_eq!(super::line(line), shown, "{line}");
        }
        assert!(!is_secret("path_to_key") && is_secret("application_credential_secret"));
    }
}
