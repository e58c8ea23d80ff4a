//! What is found on a server that others use, too.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use nxs_backup::base::chain;
use nxs_backup::storages::Kind;
use nxs_backup::stream::ByteStream;

use crate::live::nfs::{connect, key, keys, names, noise, put};
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn foreign_names_links_and_pipes_do_not_disturb_a_listing() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "foreign"));
    put(&*storage, "a/object", &noise(10)).await.unwrap();
    let top = server.path("export/foreign");
    fs::write(top.join(OsStr::from_bytes(b"latin-\xe9")), "x").unwrap();
    fs::create_dir(top.join(OsStr::from_bytes(b"folder-\xff"))).unwrap();
    fs::create_dir(top.join("lost+found")).unwrap();
    fs::write(top.join("lost+found/#1"), "x").unwrap();
    fs::write(top.join("new\nline"), "x").unwrap();
    symlink("/etc", top.join("link")).unwrap();
    symlink("a/object", top.join("link-to-object")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(top.join("pipe")).status().unwrap();
    assert!(pipe.success());
    assert_eq!(names(&*storage).await, ["a/object", "new\nline"]);
    for name in ["link", "link/passwd", "link-to-object", "pipe"] {
        assert_eq!(storage.stat(&key(name)).await.unwrap(), None, "{name}");
        let error = storage.get(&key(name), 0..1).await.map(drop).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{name}");
    }
    let error = put(&*storage, "link/below", &noise(1)).await.unwrap_err();
    assert!(chain(&error).contains("lies in the way"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_missing_lists_as_empty_and_is_made_by_the_first_put() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "made/when/needed"));
    assert_eq!(names(&*storage).await, [""; 0]);
    assert_eq!(storage.stat(&key("a")).await.unwrap(), None);
    storage.delete(&key("a/b")).await.unwrap();
    assert!(!server.path("export/made").exists());
    put(&*storage, "a", &noise(1)).await.unwrap();
    assert_eq!(names(&*storage).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_made_anew_while_we_are_connected_is_mounted_again() {
    let server = Server::own("ganesha");
    let storage = connect(keys(&server, "export", "anew"));
    put(&*storage, "a/b", &noise(1)).await.unwrap();
    server.tell("stop");
    fs::remove_dir_all(server.path("export")).unwrap();
    server.tell("start");
    assert_eq!(names(&*storage).await, [""; 0]);
    put(&*storage, "a/c", &noise(2)).await.unwrap();
    assert_eq!(names(&*storage).await, ["a/c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_removed_behind_the_servers_back_is_empty() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "behind"));
    put(&*storage, "a/b/c", &noise(10)).await.unwrap();
    fs::remove_dir_all(server.path("export/behind")).unwrap();
    assert_eq!(names(&*storage).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_file_that_somebody_removes_fails_the_put_in_words() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "removed"));
    let (feeder, fed) = ByteStream::channel(1);
    let target = key("object");
    let folder = server.path("export/removed");
    let feed = async {
        feeder.send(noise(1 << 20)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let partial = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
        assert!(partial.file_name().to_string_lossy().starts_with(".nxs-partial.object."));
        fs::remove_file(partial.path()).unwrap();
        feeder.send(noise(1 << 20)).await.ok();
        feeder.finish().await.ok();
    };
    let (done, ()) = tokio::join!(storage.put(&target, fed), feed);
    let said = chain(&done.unwrap_err());
    assert!(said.contains("removed"), "{said}");
    assert_eq!(names(&*storage).await, [""; 0]);
}
