//! `s3fs_opts` of 2.x: options of a mount that is no more. What names the place is taken over,
//! what tuned the mount is dropped, and everything else is a problem: it meant something.

/// What 2.x's options say that still means something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) url: Option<String>,
    pub(super) region: Option<String>,
    pub(super) path_style: bool,
    /// Options that have no meaning here, with a word on what to do instead.
    pub(super) refused: Vec<(String, &'static str)>,
}

impl Options {
    /// Reads `-o a=b -o c,d` as s3fs did.
    pub(super) fn read(text: &str) -> Self {
        let mut options = Self::default();
        for word in text.split([' ', '\t', '\n', ',']) {
            let word = word.strip_prefix("-o").unwrap_or(word);
            if !word.is_empty() {
                options.take(word);
            }
        }
        options
    }

    fn take(&mut self, word: &str) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "url" | "host" if !value.is_empty() => self.url = Some(value.to_owned()),
            "endpoint" | "region" if !value.is_empty() => self.region = Some(value.to_owned()),
            "use_path_request_style" => self.path_style = true,
            _ if TUNING.contains(&name) => (),
            _ => self.refused.push((name.to_owned(), instead(name))),
        }
    }
}

fn instead(name: &str) -> &'static str {
    match name {
        "no_check_certificate" | "ssl_verify_hostname" => "name the store's CA in `ca_file`",
        "passwd_file" | "ahbe_conf" => "set `access_key_id` and `secret_access_key`",
        "profile" => "set `profile`",
        "iam_role" | "ecs" | "ibm_iam_auth" => {
            "leave the keys out: roles of machines and containers are found without it"
        }
        "use_session_token" => "set `session_token`",
        "use_sse" | "load_sse_c" => "set `sse`",
        "storage_class" | "use_rrs" => "set `storage_class`",
        "bucket" => "set `bucket_name`",
        "proxy" | "proxy_cred_file" => "set `proxy`",
        _ => "take it out",
    }
}

/// Options that made a mount faster, slower or more talkative, and never changed where or what is
/// stored.
const TUNING: [&str; 52] = [
    "allow_other",
    "auto_cache",
    "check_cache_dir_exist",
    "cipher_suites",
    "compat_dir",
    "complement_stat",
    "connect_timeout",
    "curldbg",
    "dbglevel",
    "del_cache",
    "disable_noobj_cache",
    "enable_content_md5",
    "enable_noobj_cache",
    "enable_unsigned_payload",
    "ensure_diskfree",
    "f",
    "gid",
    "instance_name",
    "kernel_cache",
    "list_object_max_keys",
    "logfile",
    "max_background",
    "max_dirty_data",
    "max_stat_cache_size",
    "max_thread_count",
    "mp_umask",
    "multipart_copy_size",
    "multipart_size",
    "multireq_max",
    "no_time_stamp_msg",
    "nocopyapi",
    "nodnscache",
    "nomixupload",
    "nomultipart",
    "nonempty",
    "norenameapi",
    "nosscache",
    "noua",
    "noxmlns",
    "parallel_count",
    "readwrite_timeout",
    "retries",
    "rw",
    "sigv4",
    "singlepart_copy_limit",
    "stat_cache_expire",
    "stat_cache_interval_expire",
    "symlink_cache_expire",
    "uid",
    "umask",
    "use_cache",
    "use_xattr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_place_is_taken_over_and_what_tunes_is_dropped() {
        let text = "-o connect_timeout=10 -o multipart_size=50,url=https://s3.example \
                    -oendpoint=eu-west-1 -o use_path_request_style ";
        let options = Options::read(text);
        assert_eq!(options.url.as_deref(), Some("https://s3.example"));
        assert_eq!(options.region.as_deref(), Some("eu-west-1"));
        assert!(options.path_style && options.refused.is_empty(), "{options:?}");
        assert_eq!(Options::read("  "), Options::default());
    }

    #[test]
    fn what_meant_something_else_is_named() {
        let options = Options::read("-o no_check_certificate -o use_sse=1 -o shiny");
        let names: Vec<_> = options.refused.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["no_check_certificate", "use_sse", "shiny"]);
        assert_eq!(options.refused[0].1, "name the store's CA in `ca_file`");
    }
}
