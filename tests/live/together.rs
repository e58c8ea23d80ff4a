//! One job to every kind of storage at once, and what the others do when one of them fails.

use std::time::Duration;

use crate::cli::config;
use crate::support::bed::Bed;
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::world::sh;

/// Every kind of storage, on its real server, each with a folder called `together-NAME`.
fn everywhere(name: &str, sshd: &Server) -> Vec<(&'static str, String)> {
    let shared = Server::shared;
    let (ceph, swift) = (shared("ceph").port(0), shared("swift").port(0));
    let (ftp, smb) = (shared("proftpd").port(0), shared("samba").port(0));
    let (ganesha, apache) = (shared("ganesha"), shared("apache").port(0));
    let (nfs, mount) = (ganesha.port(0), ganesha.port(1));
    let export = ganesha.path("export").display().to_string();
    let (ssh, hosts) = (sshd.port(0), sshd.path("known_hosts").display().to_string());
    let dir = format!("together-{name}");
    let kinds = [
        ("local", format!("storage: local, backup_dir: $DIR/{dir}")),
        (
            "s3",
            format!(
                "storage: s3, endpoint: 'http://127.0.0.1:{ceph}', region: us-east-1, \
                 bucket_name: main, access_key_id: svckey, secret_access_key: svcsecret, \
                 backup_dir: {dir}"
            ),
        ),
        (
            "scp",
            format!(
                "storage: scp, host: 127.0.0.1, port: {ssh}, user: svcsftp, password: svcpw, \
                 known_hosts: {hosts}, backup_dir: {dir}"
            ),
        ),
        (
            "ftp",
            format!(
                "storage: ftp, host: 127.0.0.1, port: {ftp}, user: svcftp, password: svcpw, \
                 backup_dir: {dir}"
            ),
        ),
        (
            "smb",
            format!(
                "storage: smb, host: 127.0.0.1, port: {smb}, share: data, user: svcsmb, \
                 password: svcpw, backup_dir: {dir}"
            ),
        ),
        (
            "nfs",
            format!(
                "storage: nfs, host: 127.0.0.1, port: {nfs}, mount_port: {mount}, \
                 export: {export}, backup_dir: {export}/{dir}"
            ),
        ),
        (
            "webdav",
            format!(
                "storage: webdav, host: 'http://127.0.0.1:{apache}/basic/', user: svcdav, \
                 password: svcpw, backup_dir: {dir}"
            ),
        ),
        (
            "swift",
            format!(
                "storage: swift, auth_url: 'http://127.0.0.1:{swift}/auth/v1.0', \
                 user: 'svc:admin', password: svcpw, container: main, backup_dir: {dir}"
            ),
        ),
    ];
    kinds.map(|(kind, keys)| (kind, format!("{{{keys}, store: {{days: 2}}, retries: 1}}"))).to_vec()
}

/// A bed whose one job stores a tree everywhere.
fn bed(storages: &[(&str, String)]) -> Bed {
    let storages: Vec<&str> = storages.iter().map(|(_, keys)| keys.as_str()).collect();
    let job = format!(
        "- {{job: site, type: desc_files, compress: zstd, sources: [{{target: [$DIR/www]}}], \
         storages: [{}]}}\n",
        storages.join(", ")
    );
    let bed = Bed::new().config(&config(&[job])).tree(
        "www",
        &[("index.php", "<?php hello"), ("img/a b.png", "png"), ("empty/", ""), ("q'\"uote", "q")],
    );
    sh(&bed, "head -c 20000000 /dev/urandom >www/large");
    bed
}

#[test]
fn one_job_stores_everywhere_at_once_and_comes_back_from_each() {
    let storages = everywhere("all", Server::shared("sshd"));
    let mut bed = bed(&storages);
    let ran = bed.run(["check", "--connect"]);
    for (kind, _) in &storages {
        assert!(ran.out().contains(&format!("ok     '{kind}'")), "{kind}: {}", ran.out());
    }
    drop(ran);
    for day in ["20", "21", "22"] {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start", "all"]);
    }
    bed.run(["verify", "site", "--full"]);
    for (kind, _) in &storages {
        let listed = bed.run(["list", "--json", "--storage", kind]).json();
        assert_eq!(listed["backups"].as_array().unwrap().len(), 2, "{kind}: {listed}");
        bed.run(["restore", "site", "--storage", kind, "--to", &format!("whole-{kind}")]);
        sh(&bed, &format!("diff -r www whole-{kind}$DIR/www"));
        let one = ["--path", "a b.png", "--to", &format!("one-{kind}")].map(str::to_owned);
        let words = ["restore", "site", "--storage", kind].map(str::to_owned);
        bed.run(words.into_iter().chain(one));
        sh(&bed, &format!("diff www/img/a\\ b.png one-{kind}$DIR/www/img/a\\ b.png"));
    }
}

#[test]
fn a_server_that_is_down_costs_its_own_copy_only_and_the_next_run_is_whole() {
    let sshd = Server::own("sshd");
    let storages = everywhere("down", &sshd);
    let mut bed = bed(&storages);
    bed.run(["start", "all"]);
    sshd.tell("kill");
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    bed.run(["start", "all"]).exit(3).stdout_has("scp").noisy();
    let copies = |bed: &Bed, kind: &str| {
        let listed = bed.run(["list", "--json", "--storage", kind]).json();
        listed["backups"].as_array().unwrap().len()
    };
    for (kind, _) in storages.iter().filter(|(kind, _)| *kind != "scp") {
        assert_eq!(copies(&bed, kind), 2, "{kind}");
    }
    sshd.tell("start");
    assert_eq!(copies(&bed, "scp"), 1);
    bed.now("2026-11-23T03:00:00+00:00[UTC]").run(["start", "all"]);
    for (kind, _) in &storages {
        assert_eq!(copies(&bed, kind), 2, "{kind}");
    }
    bed.run(["verify", "site", "--full"]);
}

/// The same storages behind proxies that can be troubled, and the folder of this machine.
fn troubled(name: &str, sshd: &Server) -> (Vec<(&'static str, String)>, Vec<Proxy>) {
    let (ftp, ganesha) = (Server::shared("proftpd"), Server::shared("ganesha"));
    let mut proxies = Vec::new();
    let mut behind = |kind: &'static str, keys: String| {
        let of = |server: &Server| format!("127.0.0.1:{}", server.port(0));
        let (proxy, from) = match kind {
            "local" => return (kind, keys),
            "ftp" => (Proxy::mirror((16..64).chain([0]).map(|at| ftp.port(at))), of(ftp)),
            "nfs" => (Proxy::mirror([0, 1].map(|at| ganesha.port(at))), of(ganesha)),
            "s3" => (Proxy::to(Server::shared("ceph").port(0)), of(Server::shared("ceph"))),
            "swift" => (Proxy::to(Server::shared("swift").port(0)), of(Server::shared("swift"))),
            "webdav" => (Proxy::to(Server::shared("apache").port(0)), of(Server::shared("apache"))),
            "smb" => (Proxy::to(Server::shared("samba").port(0)), of(Server::shared("samba"))),
            _ => (Proxy::to(sshd.port(0)), of(sshd)),
        };
        let (_, port) = from.split_once(':').expect("a host and a port");
        let (host, new) = (proxy.host(), proxy.port().to_string());
        let keys = match kind {
            // Further ports are the server's own, on another address.
            "ftp" | "nfs" => keys.replace("host: 127.0.0.1", &format!("host: {host}")),
            "scp" => keys.replace(&format!("port: {port}"), &format!("port: {new}")).replace(
                &sshd.path("known_hosts").display().to_string(),
                "$DIR/hosts, accept_new: yes",
            ),
            _ => keys.replace(port, &new),
        };
        proxies.push(proxy);
        (kind, keys.replace("retries: 1", "retries: 0"))
    };
    let storages = everywhere(name, sshd).into_iter().map(|(kind, keys)| behind(kind, keys));
    let storages = storages.collect();
    (storages, proxies)
}

#[test]
fn lines_that_break_in_the_middle_of_an_upload_cost_one_copy_each_and_the_next_run_is_clean() {
    let (storages, proxies) = troubled("broken", Server::shared("sshd"));
    let mut bed = bed(&storages);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| bed.run(["start", "all"]).exit(3).noisy().out().to_owned());
        let mut whole: Vec<&Proxy> = proxies.iter().collect();
        while !run.is_finished() {
            whole.retain(|proxy| {
                let goes_on = proxy.sent() < 2_000_000;
                if !goes_on {
                    proxy.refuse(true);
                    proxy.cut_all();
                }
                goes_on
            });
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(whole.is_empty(), "every line broke");
        let said = run.join().unwrap();
        for (kind, _) in &storages {
            assert!(said.contains(kind), "{kind}: {said}");
        }
    });
    proxies.iter().for_each(Proxy::heal);
    let copies = |bed: &Bed, kind: &str| {
        let listed = bed.run(["list", "--json", "--storage", kind]).json();
        listed["backups"].as_array().unwrap().len()
    };
    for (kind, _) in &storages {
        assert_eq!(copies(&bed, kind), usize::from(*kind == "local"), "{kind}");
    }
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start", "all"]);
    for (kind, _) in &storages {
        assert_eq!(copies(&bed, kind), 1 + usize::from(*kind == "local"), "{kind}");
    }
    bed.run(["verify", "site", "--full"]);
    bed.run(["sweep", "--dry-run"]).stdout_has("nothing is left over");
}
