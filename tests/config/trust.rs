//! Run by root, only what root alone can write is believed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use nxs_backup::config::{Trust, load_as};
use nxs_backup::plan::{self, Fetch};

use super::{Bed, good_job};

fn strict(bed: &Bed) -> String {
    let said = match load_as(&bed.path("main.conf"), Trust::OnlyRoot) {
        Ok(config) => match plan::resolve(&config, Fetch::All) {
            Ok(plan) => plan
                .jobs
                .iter()
                .map(|entry| match entry {
                    plan::Entry::Job(_) => String::new(),
                    plan::Entry::Broken(broken) => broken.problems.join("\n"),
                })
                .collect(),
            Err(problems) => problems.to_string(),
        },
        Err(problems) => problems.to_string(),
    };
    bed.relative(&said)
}

fn bed() -> Bed {
    let job = good_job("a", "    tmp_dir: !file secret\n");
    Bed::new(&[
        ("main.conf", "main: {server_name: web1}\njobs: !include [conf.d/*.conf]\n"),
        ("conf.d/a.conf", &job),
        ("conf.d/secret", "/var/tmp\n"),
    ])
}

fn set_mode(bed: &Bed, name: &str, mode: u32) {
    fs::set_permissions(bed.path(name), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_others_may_write_is_refused() {
    let bed = bed();
    if fs::metadata(bed.path("main.conf")).unwrap().uid() != 0 {
        // The files are ours and we are not root: that alone is a reason.
        assert!(strict(&bed).contains("not to root"));
        return;
    }
    assert_eq!(strict(&bed), "");
    for (name, mode, good) in [
        ("main.conf", 0o664, 0o640),
        ("conf.d/a.conf", 0o602, 0o600),
        ("conf.d", 0o775, 0o755),
        ("conf.d", 0o1777, 0o755),
        ("conf.d/secret", 0o620, 0o600),
    ] {
        set_mode(&bed, name, mode);
        let said = strict(&bed);
        assert!(said.contains("not trusted: others than root may write it"), "{name}: {said}");
        assert!(said.contains(name) && said.contains(&format!("{mode:04o}")), "{name}: {said}");
        set_mode(&bed, name, good);
        assert_eq!(strict(&bed), "");
    }
    for name in ["main.conf", "conf.d/a.conf", "conf.d", "conf.d/secret"] {
        chown(bed.path(name), Some(1234), None).unwrap();
        let said = strict(&bed);
        assert!(said.contains("it belongs to user 1234, not to root"), "{name}: {said}");
        chown(bed.path(name), Some(0), None).unwrap();
    }
    assert_eq!(strict(&bed), "");
}

/// Whoever may write a folder on the way to a file can put his own in its place.
#[test]
fn a_folder_on_the_way_that_others_may_write_is_refused() {
    let job = good_job("a", "    tmp_dir: !file secrets/here\n");
    let main = "main: {server_name: web1}\njobs:\n- !include ww/j.conf\n";
    let bed = Bed::new(&[
        ("main.conf", &format!("{main}- !include linked/j.conf\n")),
        ("ww/j.conf", job.trim_start_matches("- ")),
        ("ww/secrets/here", "/var/tmp\n"),
        ("far/deep/j.conf", good_job("b", "").trim_start_matches("- ")),
        ("good/none", ""),
    ]);
    std::os::unix::fs::symlink("../far/deep", bed.path("good/deep")).unwrap();
    std::os::unix::fs::symlink("good/deep", bed.path("linked")).unwrap();
    if fs::metadata(bed.path("main.conf")).unwrap().uid() != 0 {
        return;
    }
    assert_eq!(strict(&bed), "");
    for (folder, file) in [
        ("", "main.conf"),
        ("ww", "ww/j.conf"),
        ("ww/secrets", "ww/secrets/here"),
        ("far", "linked/j.conf"),
        ("far/deep", "linked/j.conf"),
        ("good", "linked/j.conf"),
    ] {
        set_mode(&bed, folder, 0o777);
        let said = strict(&bed);
        assert!(said.contains(&format!("{file} is not trusted: the folder ")), "{folder}: {said}");
        assert!(said.contains("on its way: others than root may write it (mode 0777)"), "{said}");
        // Nobody but root can touch what root owns in a folder like /tmp.
        set_mode(&bed, folder, 0o1777);
        assert_eq!(strict(&bed), "", "{folder}");
        set_mode(&bed, folder, 0o755);
        chown(bed.path(folder), Some(1234), None).unwrap();
        assert!(strict(&bed).contains("it belongs to user 1234, not to root"), "{folder}");
        chown(bed.path(folder), Some(0), None).unwrap();
    }
    assert_eq!(strict(&bed), "");
    set_mode(&bed, "good", 0o1777);
    rustix::fs::chownat(
        rustix::fs::CWD,
        bed.path("good/deep"),
        Some(rustix::fs::Uid::from_raw(1234)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    assert!(strict(&bed).contains("a link there belongs to user 1234, not to root"));
}

#[test]
fn every_folder_that_a_pattern_searches_is_root_s_alone() {
    let bed = Bed::new(&[
        ("main.conf", "main: {server_name: web1}\njobs: !include [n/*/*.conf]\n"),
        ("n/m/j.conf", &good_job("a", "")),
    ]);
    if fs::metadata(bed.path("main.conf")).unwrap().uid() != 0 {
        return;
    }
    assert_eq!(strict(&bed), "");
    for folder in ["n", "n/m"] {
        for mode in [0o777, 0o1777] {
            set_mode(&bed, folder, mode);
            let said = strict(&bed);
            assert!(said.contains(&format!("{folder} is not trusted: others than root")), "{said}");
        }
        set_mode(&bed, folder, 0o755);
    }
}

#[test]
fn whoever_is_trusted_may_own_anything() {
    let bed = bed();
    set_mode(&bed, "main.conf", 0o666);
    assert_eq!(bed.problems(), "");
}
