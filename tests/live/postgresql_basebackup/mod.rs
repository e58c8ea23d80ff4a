//! `postgresql_basebackup` against real servers: a primary, its standby, and what comes back.

mod faults;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::live::postgresql::{said, sql, sql_at};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{sh, until};

/// A server of our own: these tests give it a standby and tablespaces.
fn config(server: &Server, port: u16, more: &str) -> String {
    format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/nxs.log}}\njobs:\n- job: base\n  \
         type: postgresql_hot\n  compress: zstd\n  tmp_dir: $DIR/tmp\n  sources:\n  - connect: \
         {{db_host: {}, db_port: {}, db_user: postgres}}\n    {more}\n  storages:\n  - {{storage: local, \
         backup_dir: $DIR/store, store: {{days: 3}}}}\n",
        server.path("sock").display(),
        server.port(port)
    )
}

fn bin(name: &str) -> PathBuf {
    let found = glob::glob(&format!("/usr/lib/postgresql/*/bin/{name}")).unwrap();
    found.map(Result::unwrap).max().unwrap()
}

/// A server on a copy, without TCP, gone with this value.
struct Started {
    data: PathBuf,
    socket: PathBuf,
}

impl Started {
    fn on(bed: &Bed, data: &Path) -> Self {
        let socket = bed.path("socket");
        std::fs::create_dir_all(&socket).unwrap();
        sh(
            bed,
            &format!(
                "chown -R postgres: $DIR/socket $(dirname {}); chmod 755 $DIR",
                data.display()
            ),
        );
        let started = Self { data: data.to_owned(), socket };
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c archive_mode=off -c ssl=off",
            started.socket.display()
        );
        said(
            &started
                .ctl()
                .args(["-w", "-t", "60", "-l"])
                .arg(started.socket.join("log"))
                .arg("-o")
                .arg(options)
                .arg("start")
                .output()
                .unwrap(),
        );
        started
    }

    fn ctl(&self) -> Command {
        let mut ctl = Command::new("setpriv");
        ctl.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]);
        ctl.arg(bin("pg_ctl")).arg("-D").arg(&self.data).current_dir("/");
        ctl
    }

    fn sql(&self, port: u16, database: &str, text: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
        psql.arg(&self.socket).args(["-p", &port.to_string(), "-d", database, "-c", text]);
        said(&psql.output().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.ctl().args(["-m", "immediate", "-w", "stop"]).output().ok();
    }
}

const COUNT: &str = "select count(*), sum(i), md5(string_agg(s, '' order by i)) from t";
const FILL: &str = "create table t as select i, md5(i::text) as s from generate_series(1, 20000) i";

#[test]
fn a_cluster_is_streamed_and_a_server_starts_on_what_comes_back() {
    let server = Server::own("postgresql");
    sql(&server, "postgres", FILL);
    let had = sql(&server, "postgres", COUNT);
    let bed = Bed::new().config(&config(&server, 0, "extra_keys: '-x --format=tar -D -'"));
    bed.run(["check"]);
    bed.run(["start"]);
    assert!(std::fs::read_to_string(bed.path("nxs.log")).unwrap().contains("`-x` of 2.x"));
    let files = bed.files("store");
    assert!(
        files
            .iter()
            .any(|name| name.starts_with("daily/postgresq_hot_") && name.ends_with(".tar.zst")),
        "{files:?}"
    );
    let shown = bed.run(["show", "2026", "--json"]).json();
    assert_eq!(shown[0]["manifest"]["checked"], "end of the server's manifest", "{shown}");
    sql(&server, "postgres", "delete from t");
    bed.run(
        ["restore", "--to", "$DIR/copy"]
            .map(|arg| arg.replace("$DIR", bed.path("").to_str().unwrap())),
    )
    .stdout_has("fits the server's manifest (pg_verifybackup")
    .stdout_has("leave backup_label where it is");
    let started = Started::on(&bed, &bed.path("copy/data"));
    assert_eq!(started.sql(server.port(0), "postgres", COUNT), had);
    drop(started);
    // By stock tools alone, from the stored file.
    sh(
        &bed,
        "mkdir -m 700 stock stock/data; zstd -dc store/daily/*.tar.zst | tar -xp -C stock/data",
    );
    said(&Command::new(bin("pg_verifybackup")).arg(bed.path("stock/data")).output().unwrap());
    let started = Started::on(&bed, &bed.path("stock/data"));
    assert_eq!(started.sql(server.port(0), "postgres", COUNT), had);
}

#[test]
fn a_second_tablespace_goes_through_a_local_copy_and_comes_back_beside_the_data() {
    let server = Server::own("postgresql");
    let space = server.path("space");
    sql(&server, "postgres", &format!("create tablespace fast location '{}'", space.display()));
    sql(
        &server,
        "postgres",
        &FILL.replace("create table t as", "create table t tablespace fast as"),
    );
    let had = sql(&server, "postgres", COUNT);
    let bed = Bed::new().config(&config(
        &server,
        0,
        "checkpoint: spread\n    extra_keys: [--checkpoint=fast]",
    ));
    bed.run(["start"]);
    let log = std::fs::read_to_string(bed.path("nxs.log")).unwrap();
    assert!(
        log.contains("goes through a local copy") && log.contains("several tablespaces"),
        "{log}"
    );
    assert_eq!(bed.files("tmp"), [] as [&str; 0]);
    let to = bed.path("copy");
    let ran = bed.run(["restore", "--to", to.to_str().unwrap()]);
    let ran = ran.stdout_has("fits the server's manifest");
    assert!(ran.out().contains(&format!("was at {}", space.display())), "{}", ran.out());
    // The original lives on and is not touched by the server of the copy.
    sql(&server, "postgres", "delete from t where i > 5; checkpoint");
    let started = Started::on(&bed, &to.join("data"));
    assert_eq!(started.sql(server.port(0), "postgres", COUNT), had);
    let at = started.sql(
        server.port(0),
        "postgres",
        "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'fast'",
    );
    assert!(at.starts_with(to.to_str().unwrap()), "{at}");
    started.sql(server.port(0), "postgres", "insert into t values (0, 'copy'); checkpoint");
    assert_eq!(sql(&server, "postgres", "select count(*) from t"), "5");
}

#[test]
fn a_standby_is_copied_and_its_copy_is_a_standby_until_told_otherwise() {
    let server = Server::own("postgresql");
    sql(&server, "postgres", FILL);
    server.tell("standby");
    let had = sql(&server, "postgres", COUNT);
    let ask = "select count(*) from pg_class where relname = 't'";
    until("the table on the standby", || sql_at(&server, 1, "postgres", ask) != "0");
    for more in ["wal: fetch", "wal: stream"] {
        let bed = Bed::new().config(&config(&server, 1, more));
        bed.run(["start"]);
        let to = bed.path("copy");
        bed.run(["restore", "--to", to.to_str().unwrap()]).stdout_has("standby.signal");
        sh(&bed, "rm copy/data/standby.signal");
        let started = Started::on(&bed, &to.join("data"));
        assert_eq!(started.sql(server.port(1), "postgres", COUNT), had, "{more}");
    }
}

#[test]
fn a_copy_that_is_not_whole_is_never_a_backup() {
    let server = Server::own("postgresql");
    let version = "case $1 in --version) echo 'pg_basebackup (PostgreSQL) 15.1'; exit;; esac\n";
    let real = "/usr/lib/postgresql/*/bin/pg_basebackup \"$@\"";
    for (stub, word) in [
        (format!("{real} | head -c 10000000; exit 0"), "ended without its end mark"),
        ("exit 0".to_owned(), "ended without its end mark"),
        ("echo half; echo 'no space' >&2; exit 1".to_owned(), "no space"),
        ("kill -9 $$".to_owned(), "signal: 9"),
    ] {
        let bed = Bed::new().config(&config(&server, 0, "checkpoint: fast"));
        let bed = bed.stub("pg_basebackup", &format!("{version}{stub}"));
        bed.run(["start"]).exit(1).stderr_has(word);
        assert_eq!(
            (bed.files("store"), bed.files("tmp")),
            (vec![".nxs-backup.json".to_owned()], vec![])
        );
    }
    let stub = format!(
        "{version}{real}; d=$2; head -c 5000000 $d/base.tar > $d/x; mv $d/x $d/base.tar; exit 0"
    );
    let bed = Bed::new().config(&config(&server, 0, "wal: stream")).stub("pg_basebackup", &stub);
    bed.run(["start"]).exit(1).stderr_has("base.tar is not whole");
    assert_eq!(
        (bed.files("store"), bed.files("tmp")),
        (vec![".nxs-backup.json".to_owned()], vec![])
    );
    for wal in ["fetch", "stream"] {
        let text = config(&server, 0, &format!("wal: {wal}\n    timeout: 2s"));
        let bed = Bed::new().config(&text).stub("pg_basebackup", &format!("{version}sleep 60"));
        bed.run(["start"]).exit(1).stderr_has("pg_basebackup gave nothing for 2 s");
        assert_eq!(bed.files("tmp"), [] as [&str; 0]);
    }
    // Somebody who may not replicate.
    let text =
        config(&server, 0, "checkpoint: fast").replace("db_user: postgres", "db_user: svcplain");
    let bed = Bed::new().config(&text);
    bed.run(["start"]).exit(1).stderr_has("must be superuser or replication role");
}
