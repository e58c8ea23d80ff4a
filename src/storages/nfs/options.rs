//! Mount options, as 2.x passed them on: nothing is mounted here.

/// What became of the options.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Options that mean nothing without a mount.
    pub(super) left_out: Vec<String>,
    /// What cannot be left out without changing the meaning, in words.
    pub(super) wrong: Vec<String>,
}

/// Reads options as they follow `mount -t nfs`: `-o rw,soft -o vers=3`.
pub(super) fn read(options: &str) -> Read {
    let mut read = Read::default();
    let words = options.split_whitespace().map(|word| word.strip_prefix("-o").unwrap_or(word));
    for option in words.flat_map(|word| word.split(',')).filter(|option| !option.is_empty()) {
        match judge(option) {
            None => read.left_out.push(option.to_owned()),
            Some(wrong) => read.wrong.push(wrong),
        }
    }
    read
}

/// Says why an option cannot be left out; `None` when it can.
fn judge(option: &str) -> Option<String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match (name, value) {
        ("vers" | "nfsvers", "3") | ("sec", "sys") => None,
        ("vers" | "nfsvers", _) => Some(format!(
            "`{option}`: NFSv3 is spoken here; for another version mount the export and use \
             {LOCAL}"
        )),
        ("sec", _) => Some(format!(
            "`{option}`: AUTH_SYS is spoken here; for Kerberos mount the export and use {LOCAL}"
        )),
        ("proto", "rdma" | "rdma6") | ("rdma", _) => {
            Some(format!("`{option}`: TCP is spoken here; mount the export and use {LOCAL}"))
        }
        ("port", port) => Some(format!("`{option}`: set the key `port: {port}` instead")),
        ("mountport", port) => {
            Some(format!("`{option}`: set the key `mount_port: {port}` instead"))
        }
        ("ro", _) => Some("`ro`: nothing could be stored; leave it out".to_owned()),
        (name, _) if MEANINGLESS.contains(&name) || name.starts_with("x-") => None,
        _ => Some(format!("`{option}` is no mount option that is known; leave it out")),
    }
}

const LOCAL: &str = "a `local` storage with `must_be_mounted: yes`";

/// Options about the mount, its caches and its patience.
#[rustfmt::skip]
const MEANINGLESS: &[&str] = &[
    "ac", "acdirmax", "acdirmin", "acl", "acregmax", "acregmin", "actimeo", "async", "atime",
    "auto", "bg", "cto", "defaults", "dev", "diratime", "exec", "fg", "fsc", "group", "hard",
    "intr", "local_lock", "lock", "lookupcache", "migration", "minorversion", "mounthost",
    "mountproto", "mountvers", "namlen", "nconnect", "_netdev", "noac", "noacl", "noatime",
    "noauto", "nocto", "nodev", "nodiratime", "noexec", "nofail", "nofsc", "nointr", "nolock",
    "nomigration", "noposix", "nordirplus", "norelatime", "noresvport", "nosharecache", "nosuid",
    "nouser", "owner", "posix", "proto", "rdirplus", "relatime", "resvport", "retrans", "retry",
    "rsize", "rw", "sharecache", "soft", "softerr", "softreval", "strictatime", "suid", "sync",
    "tcp", "timeo", "udp", "user", "users", "wsize",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_mount_are_left_out() {
        let read = read("-o rw,soft,timeo=100 -overs=3 -o sec=sys,x-systemd.automount");
        assert_eq!(read.wrong, [""; 0]);
        assert_eq!(
            read.left_out,
            ["rw", "soft", "timeo=100", "vers=3", "sec=sys", "x-systemd.automount"]
        );
    }

    #[test]
    fn what_another_client_is_needed_for_names_the_way_out() {
        for option in ["vers=4", "nfsvers=4.2", "vers=2", "sec=krb5", "sec=krb5p", "proto=rdma"] {
            let wrong = read(option).wrong;
            assert!(wrong[0].contains("must_be_mounted: yes"), "{option}: {wrong:?}");
        }
    }

    #[test]
    fn what_has_a_key_of_its_own_names_it() {
        assert_eq!(read("port=2050").wrong, ["`port=2050`: set the key `port: 2050` instead"]);
        assert!(read("mountport=9").wrong[0].contains("`mount_port: 9`"));
        assert_eq!(read("ro,frobnicate").wrong.len(), 2);
    }
}
