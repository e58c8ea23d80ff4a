//! MySQL of Debian sid: a moving target, so a server that cannot be had is a loud skip.

use std::process::Command;

use crate::live::mysql::round_trip::odd;
use crate::live::mysql::{answer, bed, nothing_left, root, same, stored};
use crate::support::server::Server;
use crate::support::world::sh;

fn sql(server: &Server, statements: &str) -> String {
    let mut client = Command::new(server.path("bin/mysql"));
    client.args([
        "--no-defaults",
        "--batch",
        "--skip-column-names",
        "-h127.0.0.1",
        "-uroot",
        "-psvcpw",
    ]);
    client.args(["--default-character-set=utf8mb4", "--binary-mode"]);
    client.arg(format!("-P{}", server.port(0)));
    answer(client, statements)
}

fn everything_in(server: &Server, database: &str) -> String {
    let mut dump = Command::new(server.path("bin/mysqldump"));
    dump.args([
        "--no-defaults",
        "-h127.0.0.1",
        "-uroot",
        "-psvcpw",
        "--routines",
        "--triggers",
        "--events",
    ]);
    dump.args(["--hex-blob", "--skip-comments", "--order-by-primary", "--set-gtid-purged=OFF"]);
    dump.args(["--skip-extended-insert", "--single-transaction"]);
    dump.arg(format!("-P{}", server.port(0))).arg(database);
    let charset = format!(
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'"
    );
    // A column that is made by a dump spells its character set out; it is the same.
    (sql(server, &charset) + &answer(dump, "")).replace("CHARACTER SET utf8mb4 COLLATE", "COLLATE")
}

#[test]
fn mysql_comes_back_with_its_own_tools_and_with_those_of_mariadb() {
    let Some(server) = Server::own_if_had("mysql") else { return };
    let odd = odd("odd_9").replace("ENGINE=MyISAM", "ENGINE=InnoDB");
    sql(&server, &format!(
        "SET GLOBAL log_bin_trust_function_creators = ON; {odd}
         CREATE USER 'gr''ant'@'10.%' IDENTIFIED BY 'secret'; CREATE ROLE reader_role;
         GRANT SELECT ON odd_9.* TO reader_role; GRANT reader_role TO 'gr''ant'@'10.%';
         SET DEFAULT ROLE reader_role TO 'gr''ant'@'10.%'; GRANT INSERT (id) ON odd_9.bin TO 'gr''ant'@'10.%'"
    ));
    let before = everything_in(&server, "odd_9");
    let asked = "SET print_identified_with_as_hex = ON; SHOW CREATE USER 'gr''ant'@'10.%'; SHOW GRANTS FOR 'gr''ant'@'10.%'";
    let users = sql(&server, asked);

    // With MySQL's tools before MariaDB's on PATH, and grants.
    let bed = bed("mysql", &root(&server, 0), "target: [odd_9]\ngrants: yes", "");
    for tool in ["mysql", "mysqldump"] {
        std::fs::copy(server.path(&format!("bin/{tool}")), bed.path(&format!("bin/{tool}")))
            .unwrap();
    }
    bed.run(["start"]);
    assert_eq!(stored(&bed).len(), 2);
    let shown = sh(&bed, "cat $DIR/out/odd_9/daily/*.json");
    assert!(
        shown.contains("\"mysqldump\": \"9.") || shown.contains("\"mysqldump\":\"9."),
        "{shown}"
    );
    bed.run(["restore", "--target", "odd_9", "--into", "odd_9_copy"]).noisy();
    same(&everything_in(&server, "odd_9_copy").replace("odd_9_copy", "odd_9"), &before);
    // The very same server, in spite of its GTIDs.
    sql(&server, "DELETE FROM odd_9.bin");
    bed.run(["restore", "--target", "odd_9", "--into", "odd_9"]).noisy();
    same(&everything_in(&server, "odd_9"), &before);
    sql(&server, "DROP USER 'gr''ant'@'10.%'; DROP ROLE reader_role");
    bed.run(["restore", "--target", "users_and_grants", "--into", "users_and_grants"]);
    assert_eq!(sql(&server, asked), users);
    nothing_left(&bed);

    // By the stock tools alone.
    sql(&server, "DROP DATABASE odd_9; CREATE DATABASE odd_9");
    let load = format!(
        "{} --no-defaults -h127.0.0.1 -P{} -uroot -psvcpw odd_9",
        server.path("bin/mysql").display(),
        server.port(0)
    );
    sh(&bed, &format!("zstd -dqc $DIR/out/odd_9/daily/*.zst | {load}"));
    same(&everything_in(&server, "odd_9"), &before);

    // With MariaDB's tools, where there are no others.
    let bed = crate::live::mysql::bed("mysql", &root(&server, 0), "target: [odd_9]", "");
    bed.run(["start"]);
    let shown = sh(&bed, "cat $DIR/out/odd_9/daily/*.json");
    assert!(shown.contains("mariadb-dump"), "{shown}");
}
