//! What servers refuse, and what is said about it.

use nxs_backup::base::chain;
use nxs_backup::storages::nfs::Config;
use nxs_backup::storages::{Kind, Storage};

use crate::live::nfs::{connect, key, keys, names, noise, put, read};
use crate::support::proxy::Proxy;
use crate::support::server::Server;

/// What a small put there fails with.
async fn refused(storage: &dyn Storage) -> (Kind, String) {
    let error = put(storage, "a/b", &noise(100)).await.unwrap_err();
    (error.kind, chain(&error))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_export_is_called_so() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "readonly", "x"));
    let place = server.path("readonly/x").display().to_string();
    let should = format!(
        "nas: could not put a/b: 127.0.0.1:{place}: the export is read-only for us: export it \
         with `rw` (NFS3ERR_ROFS)"
    );
    assert_eq!(refused(&*storage).await, (Kind::Denied, should));
    assert_eq!(names(&*storage).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_squashed_export_names_our_ids() {
    let server = Server::shared("ganesha");
    let (kind, said) = refused(&*connect(keys(server, "squashed", "x"))).await;
    assert_eq!(kind, Kind::Denied, "{said}");
    let ids = format!(
        "uid {} and gid {} may not do this there",
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw()
    );
    assert!(said.contains(&ids) && said.contains("root_squash"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_somebody_else_can_be_read_but_not_changed() {
    let server = Server::shared("ganesha");
    let owner = Config { uid: Some(4001), gid: Some(4001), ..keys(server, "export", "theirs") };
    let other = Config { uid: Some(4002), gid: Some(4002), ..owner.clone() };
    std::fs::create_dir(server.path("export/theirs")).unwrap();
    std::os::unix::fs::chown(server.path("export/theirs"), Some(4001), Some(4001)).unwrap();
    put(&*connect(owner), "object", &noise(10)).await.unwrap();
    let storage = connect(other);
    let error = storage.delete(&key("object")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    let begin = "nas: could not delete object: 127.0.0.1:";
    assert!(chain(&error).starts_with(begin), "{}", chain(&error));
    assert!(chain(&error).contains("uid 4002 and gid 4002 may not"), "{}", chain(&error));
    let error = put(&*storage, "object", &noise(20)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    assert_eq!(names(&*storage).await, ["object"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_called_full_and_nothing_stays() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "small", "x"));
    put(&*storage, "old", &noise(1 << 20)).await.unwrap();
    let error = put(&*storage, "new", &noise(40 << 20)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Full, "{}", chain(&error));
    assert!(chain(&error).contains("no space is left: free some"), "{}", chain(&error));
    assert_eq!(names(&*storage).await, ["old"]);
    put(&*storage, "new", &noise(8 << 20)).await.unwrap();
    assert!(read(&*storage, "new").await == noise(8 << 20));
    storage.delete(&key("new")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_not_there_is_named_with_those_that_are() {
    let server = Server::shared("ganesha");
    let mut config = keys(server, "export", "x");
    config.backup_dir = "/no/such/folder".to_owned();
    config.export = None;
    let (kind, said) = refused(&*connect(config)).await;
    assert_eq!(kind, Kind::Denied, "{said}");
    let begin = "nas: could not put a/b: 127.0.0.1 does not let this host mount /no/such/folder: \
                 name it in the server's /etc/exports, or set `export` to what is there: ";
    assert!(said.starts_with(begin), "{said}");
    assert!(said.contains(&server.path("export").display().to_string()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_for_nfs_4_alone_is_refused_in_words() {
    let server = Server::shared("ganesha");
    let (kind, said) = refused(&*connect(keys(server, "four", "x"))).await;
    assert!(kind == Kind::Denied || kind == Kind::Other, "{kind:?} {said}");
    assert!(said.contains(&server.path("four").display().to_string()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_privileged_port_gets_one() {
    let server = Server::shared("ganesha");
    let config = keys(server, "secure", "x");
    if rustix::process::geteuid().is_root() {
        put(&*connect(config.clone()), "object", &noise(10)).await.unwrap();
    }
    // The proxy itself comes from any port.
    let proxy = Proxy::mirror([server.port(0), server.port(1)]);
    let config = Config { host: proxy.host(), ..config };
    let (kind, said) = refused(&*connect(config)).await;
    assert_eq!(kind, Kind::Denied, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_the_place_of_an_object_is_not_overwritten() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "in-the-way"));
    put(&*storage, "folder/object", &noise(10)).await.unwrap();
    for (name, kind) in [("folder", Kind::Other), ("folder/object/below", Kind::Other)] {
        let error = put(&*storage, name, &noise(10)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{}", chain(&error));
        assert!(chain(&error).contains("lies in the way"), "{}", chain(&error));
    }
    assert_eq!(names(&*storage).await, ["folder/object"]);
}
