//! Targets and excludes, as operators write them.

use std::ffi::OsStr;
use std::fs;

use tempfile::TempDir;

use super::*;

/// Makes a folder with files (a slash at the end makes a folder) and returns it.
fn bed(names: &[&[u8]]) -> TempDir {
    let bed = tempfile::tempdir().unwrap();
    for name in names {
        let path = bed.path().join(OsStr::from_bytes(name));
        if name.ends_with(b"/") {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
    }
    bed
}

fn found(bed: &TempDir, globs: &[&str], excludes: &[&str]) -> Found {
    let here = bed.path().to_str().unwrap();
    let globs: Vec<String> = globs.iter().map(|glob| format!("{here}/{glob}")).collect();
    let excludes: Vec<String> = excludes.iter().map(|glob| glob.replace("HERE", here)).collect();
    look(&globs, &Excludes::new(&excludes).unwrap())
}

fn names(bed: &TempDir, found: &Found) -> Vec<String> {
    let here = format!("{}/", bed.path().to_str().unwrap());
    found.targets.iter().map(|target| target.name.replace(&here, "")).collect()
}

#[test]
fn each_match_is_a_target_sorted_by_bytes_and_only_once() {
    let bed = bed(&[b"b/data/x", b"a/data/x", b"a-c/data/x", b".hidden/data/x", b"c/file"]);
    let found = found(&bed, &["*/data/", "a/data", "a/../a/data"], &[]);
    assert_eq!(names(&bed, &found), ["a-c/data", "a/data", "b/data"]);
    assert_eq!(found.failed.len(), 1, "{:?}", found.failed);
    assert!(found.failed[0].to_string().contains("'..'"));
    let target = &found.targets[1];
    assert_eq!((&target.part, &target.base), (&vec![b"a".to_vec()], &b"a".to_vec()));
    assert_eq!(target.ext, "tar");
}

#[test]
fn a_slash_at_the_end_means_folders_only() {
    let bed = bed(&[b"file", b"folder/", b"other/x"]);
    assert_eq!(names(&bed, &found(&bed, &["*/"], &[])), ["folder", "other"]);
    assert_eq!(names(&bed, &found(&bed, &["*"], &[])), ["file", "folder", "other"]);
}

#[test]
fn a_name_that_is_not_utf_8_is_a_target_like_any_other() {
    let bed = bed(&[b"caf\xe9/x", b"plain/x"]);
    let found = found(&bed, &["*"], &[]);
    assert_eq!(names(&bed, &found), ["caf%E9", "plain"]);
    assert_eq!(found.targets[0].part, [b"caf\xe9".to_vec()]);
}

#[test]
fn a_glob_without_a_match_fails_and_the_others_stand() {
    let bed = bed(&[b"there/x"]);
    let found = found(&bed, &["missing*", "there"], &[]);
    assert_eq!(names(&bed, &found), ["there"]);
    assert_eq!(found.failed[0].kind, Kind::NotFound);
    assert!(found.failed[0].to_string().ends_with("missing*: there is nothing of that name"));
}

#[test]
fn a_target_at_or_below_an_exclude_is_skipped_and_said() {
    let bed = bed(&[b"a/b/x", b"a/bc/x", b"d/x"]);
    let found = found(&bed, &["a/*", "d"], &["HERE/a/b", "HERE/d/"]);
    assert_eq!(names(&bed, &found), ["a/bc"]);
    assert_eq!(found.notes.len(), 2);
    assert!(found.notes[0].contains("left out by the exclude"), "{}", found.notes[0]);
}

#[test]
fn a_link_to_a_folder_is_a_target_and_is_said() {
    let bed = bed(&[b"real/x"]);
    std::os::unix::fs::symlink(bed.path().join("real"), bed.path().join("link")).unwrap();
    let found = found(&bed, &["link/"], &[]);
    assert_eq!(names(&bed, &found), ["link"]);
    assert!(found.notes[0].contains("link to a folder"), "{:?}", found.notes);
}

#[test]
fn the_part_is_what_differs_from_the_glob() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("/var/www/*/data/", "/var/www/site1/data", &["site1"]),
        ("/srv/*/*", "/srv/a/b", &["a", "b"]),
        ("/etc/nginx", "/etc/nginx", &["nginx"]),
        ("/etc/nginx/", "/etc/nginx", &["nginx"]),
        ("/", "/", &["root"]),
        ("/x/**/a", "/x/y/z/a", &["y", "z", "a"]),
    ];
    for (glob, path, wanted) in cases {
        let got = part(glob.as_bytes(), path.as_bytes());
        let wanted: Vec<Vec<u8>> = wanted.iter().map(|part| part.as_bytes().to_vec()).collect();
        assert_eq!(got, wanted, "{glob} {path}");
    }
}

#[test]
fn what_is_no_glob_is_refused_at_once() {
    let wrong = |globs: &[&str], excludes: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|glob| (*glob).to_owned()).collect();
        let config = Config { target: own(globs), targets: vec![], excludes: own(excludes) };
        let wrong = config.problems();
        wrong.into_iter().map(|wrong| wrong.key).collect::<Vec<_>>()
    };
    assert_eq!(wrong(&["/srv/*"], &["a", "/b", "**/c"]), [""; 0]);
    assert_eq!(wrong(&[], &[]), ["target"]);
    assert_eq!(wrong(&["/a", "relative"], &[]), ["target[1]"]);
    assert_eq!(wrong(&["/a/[z-a]"], &[]), ["target[0]"]);
    assert_eq!(wrong(&["/a"], &["b", "../b"]), ["excludes[1]"]);
    assert_eq!(wrong(&["/a"], &["/"]), ["excludes[0]"]);
}

#[tokio::test]
async fn a_tree_leaves_out_what_is_relative_to_its_own_target() {
    let bed = bed(&[b"a/cache/x", b"b/cache/x"]);
    let glob = format!("{}/*", bed.path().to_str().unwrap());
    let source = Files::new(Some("web"), vec![glob], &["cache".to_owned()]).unwrap();
    for target in source.targets().await.unwrap().targets {
        let Payload::Tree(tree) = source.open(&target).await.unwrap() else { panic!("no tree") };
        let path = target.path.unwrap();
        assert!(tree.excludes(path.join("cache").as_os_str().as_bytes()));
        assert!(!tree.excludes(path.join("other").as_os_str().as_bytes()));
    }
}
