//! What the keys of several kinds have in common: what can be wrong with them, in the same words.
//!
//! Nothing here dials. What belongs to one kind alone stays in its `config.rs`.

use std::path::Path;

use reqwest::Proxy;

use crate::base::{PENDING, Wrong};

/// Says that the port under `key` is none; a value of YAML may be 0, which nobody listens on.
pub(super) fn port(key: &str, port: Option<u16>) -> Option<Wrong> {
    let message = || format!("`{key}` must lie between 1 and 65535");
    (port == Some(0)).then(|| Wrong::new(key, message()))
}

/// Tells whether `host` holds what no name and no address has: a blank, a control character, a
/// slash, or any of `more`. A host that was not fetched is no trouble.
pub(super) fn is_odd_host(host: &str, more: &str) -> bool {
    let odd = |ch: char| ch.is_whitespace() || ch.is_control() || ch == '/' || more.contains(ch);
    host != PENDING && host.contains(odd)
}

/// Spells a host as it stands in a URL: an address of IPv6 in brackets.
pub(super) fn in_url(host: &str) -> String {
    let is_bare = host.contains(':') && !host.starts_with('[');
    if is_bare { format!("[{host}]") } else { host.to_owned() }
}

/// Says that a CA file could be found only from some folder.
pub(super) fn ca_file(path: Option<&Path>) -> Option<Wrong> {
    let is_wrong = path.is_some_and(|path| !path.is_absolute());
    is_wrong.then(|| Wrong::new("ca_file", "`ca_file` must be an absolute path"))
}

/// Says that a proxy is no URL.
pub(super) fn proxy(proxy: Option<&str>) -> Option<Wrong> {
    let is_wrong = proxy.is_some_and(|proxy| proxy != PENDING && Proxy::all(proxy).is_err());
    let message = "`proxy` must be a URL, such as http://proxy.example:3128";
    is_wrong.then(|| Wrong::new("proxy", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_port_zero_is_none() {
        assert_eq!(port("port", None), None);
        assert_eq!(port("port", Some(65535)), None);
        let wrong = Wrong::new("mount_port", "`mount_port` must lie between 1 and 65535");
        assert_eq!(port("mount_port", Some(0)), Some(wrong));
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for good in ["h", "h.example", "::1", "192.0.2.1", PENDING] {
            assert!(!is_odd_host(good, "@"), "{good}");
        }
        for odd in ["h/x", "h x", "h\n", "u@h"] {
            assert!(is_odd_host(odd, "@"), "{odd}");
        }
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        assert_eq!(in_url("::1"), "[::1]");
        assert_eq!(in_url("[::1]"), "[::1]");
        assert_eq!(in_url("h.example"), "h.example");
    }

    #[test]
    fn a_proxy_is_a_url() {
        for good in [None, Some("http://h:1"), Some(PENDING)] {
            assert_eq!(proxy(good), None);
        }
        assert!(proxy(Some("::")).is_some());
    }
}
