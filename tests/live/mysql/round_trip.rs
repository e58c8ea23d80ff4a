//! Dump, destroy, restore, compare: ours, and by the stock tools alone.

use crate::live::mysql::{bed, everything_in, mariadb, root, same, sql, stored};
use crate::support::world::sh;

/// All that a database can hold and a careless dump loses.
pub(crate) fn odd(database: &str) -> String {
    format!(
        r#"DROP DATABASE IF EXISTS `{database}`;
CREATE DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE `{database}`;
CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, `na``me ö` VARCHAR(90), note TEXT NULL) ENGINE=InnoDB;
CREATE TABLE child (id INT PRIMARY KEY, parent_id INT, price DECIMAL(9,2), total DECIMAL(9,2) AS (price * 2) STORED,
  half DECIMAL(9,2) AS (price / 2) VIRTUAL, FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE);
CREATE TABLE empty_one (a INT, b GEOMETRY);
CREATE TABLE bin (id INT PRIMARY KEY, b BLOB, f DOUBLE, t TIMESTAMP(6) NULL, j JSON, bits BIT(9));
CREATE TABLE old_kind (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=MyISAM;
INSERT INTO parent VALUES (1, 'ünïcödé 🦊 ''quoted'' "twice" \\ back', NULL), (7, 'line
break; USE other;
DROP DATABASE mysql;', ''), (9, '', 'tab	and nul:\0:end');
INSERT INTO child (id, parent_id, price) VALUES (1, 1, 9.99), (2, 7, NULL);
INSERT INTO bin VALUES (1, x'00FF10275C0D0A1A', 1.5e-300, '2026-11-27 01:02:03.456789', '{{"a": [1, "ö"]}}', b'101010101'),
  (2, NULL, NULL, NULL, NULL, NULL), (3, '', 0, NULL, 'null', 0);
INSERT INTO old_kind VALUES (1, 'myisam');
CREATE DEFINER='gone'@'nowhere' VIEW seen AS SELECT p.id, c.total FROM parent p JOIN child c ON c.parent_id = p.id;
DELIMITER ;;
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC BEGIN DECLARE s TEXT DEFAULT 'USE x;'; RETURN n * 2; END;;
CREATE PROCEDURE fill() BEGIN INSERT INTO empty_one (a) VALUES (1); END;;
CREATE TRIGGER before_parent BEFORE INSERT ON parent FOR EACH ROW BEGIN SET NEW.note = CONCAT('t:', NEW.note); END;;
DELIMITER ;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DISABLE DO DELETE FROM empty_one;
"#
    )
}

#[test]
fn a_database_with_all_its_oddities_comes_back_under_its_name_and_another() {
    let server = mariadb();
    sql(server, "a", &(odd("odd_1") + "CREATE SEQUENCE seq START WITH 5; SELECT NEXTVAL(seq);"));
    let before = everything_in(server, "a", "odd_1");
    let bed = bed("mysql", &root(server, 0), "target: [odd_1]", "");
    bed.run(["start"]);
    let files = stored(&bed);
    assert_eq!(files, ["odd_1/daily/odd_1_2026-11-21_03-00-00.sql.zst"]);
    let shown = bed.run(["show", "20261121", "--json"]).json();
    let manifest = &shown[0]["manifest"];
    assert!(manifest["server_version"].as_str().unwrap().contains("MariaDB"), "{manifest:#}");
    assert!(manifest.to_string().contains("mariadb-dump"), "{manifest:#}");
    assert!(manifest.to_string().contains("end mark"), "{manifest:#}");

    // Under another name, which leaves the first alone.
    let out = bed.run(["restore", "--target", "odd_1", "--into", "odd_1_copy"]).noisy();
    assert!(out.err().contains("gone@nowhere"), "missing definers are noted: {}", out.err());
    same(&everything_in(server, "a", "odd_1_copy").replace("odd_1_copy", "odd_1"), &before);

    // Over a damaged one, whose remains go to a file first; the file loads, too.
    sql(
        server,
        "a",
        "DELETE FROM odd_1.bin; DROP VIEW odd_1.seen; CREATE TABLE odd_1.later (id INT)",
    );
    let damaged = everything_in(server, "a", "odd_1");
    bed.run(["restore", "--target", "odd_1", "--into", "odd_1", "--rescue", "rescued"]).noisy();
    same(&everything_in(server, "a", "odd_1"), &before);
    let rescued = bed.files("rescued");
    assert_eq!(rescued.len(), 1, "{rescued:?}");
    let socket = server.path("a.sock");
    let socket = socket.display();
    sql(server, "a", "CREATE DATABASE odd_1_rescued");
    sh(
        &bed,
        &format!(
            "zstd -dqc $DIR/rescued/{} | mariadb --no-defaults --socket={socket} -uroot odd_1_rescued",
            rescued[0]
        ),
    );
    same(&everything_in(server, "a", "odd_1_rescued"), &damaged);

    // By the stock tools alone.
    sql(server, "a", "DROP DATABASE odd_1; CREATE DATABASE odd_1");
    sh(
        &bed,
        &format!(
            "zstd -dqc $DIR/out/{} | mariadb --no-defaults --socket={socket} -uroot odd_1",
            files[0]
        ),
    );
    same(&everything_in(server, "a", "odd_1"), &before);
}

#[test]
fn all_means_every_database_and_excludes_take_databases_and_tables_out() {
    let server = mariadb();
    sql(
        server,
        "a",
        "CREATE DATABASE all_1; CREATE TABLE all_1.t (a INT); CREATE TABLE all_1.log (a INT);
        INSERT INTO all_1.log VALUES (5); CREATE DATABASE all_2; CREATE DATABASE `all-3 ü`",
    );
    let source = "target: [all]\nexcludes: [all_2, all_1.log, mysql]";
    let bed = bed("mysql", &root(server, 0), source, "parallel: 2");
    // Other tests make and drop databases meanwhile; ours must be there.
    bed.run(["start"]).noisy().code();
    let files = stored(&bed);
    let has = |part: &str| files.iter().any(|file| file.starts_with(part));
    assert!(has("all_1/daily/") && has("all-3 ü/daily/"), "{files:?}");
    let unwanted = ["all_2/", "mysql/", "information_schema/", "performance_schema/", "sys/"];
    assert!(!unwanted.iter().any(|part| has(part)), "{files:?}");
    bed.run(["restore", "--target", "all_1", "--into", "all_1_back"]);
    assert_eq!(sql(server, "a", "SHOW TABLES FROM all_1_back"), "t\n");
    bed.run(["restore", "--target", "all-3 ü", "--into", "all-3 `back`"]);
    assert_eq!(sql(server, "a", "SHOW TABLES FROM `all-3 ``back```"), "");
}

#[test]
fn users_and_grants_are_a_target_of_their_own() {
    let server = mariadb();
    sql(server, "a", "CREATE USER 'gr''ant ü'@'10.%' IDENTIFIED BY 'secret'; CREATE ROLE reader_role;
        CREATE DATABASE gr_1; GRANT SELECT ON gr_1.* TO reader_role; GRANT reader_role TO 'gr''ant ü'@'10.%';
        GRANT INSERT (a) ON gr_1.t TO 'gr''ant ü'@'10.%'; SET DEFAULT ROLE reader_role FOR 'gr''ant ü'@'10.%'"
        .replace("CREATE DATABASE gr_1;", "CREATE DATABASE gr_1; CREATE TABLE gr_1.t (a INT);").as_str());
    let asked = "SHOW CREATE USER 'gr''ant ü'@'10.%'; SHOW GRANTS FOR 'gr''ant ü'@'10.%'; SHOW GRANTS FOR reader_role;
        SELECT JSON_VALUE(Priv, '$.default_role') FROM mysql.global_priv WHERE User = 'gr''ant ü'";
    let before = sql(server, "a", asked);
    let bed = bed("mysql", &root(server, 0), "grants: yes", "");
    bed.run(["start"]);
    assert_eq!(
        stored(&bed),
        ["users_and_grants/daily/users_and_grants_2026-11-21_03-00-00.sql.zst"]
    );
    sql(server, "a", "DROP USER 'gr''ant ü'@'10.%'; DROP ROLE reader_role");
    bed.run(["restore", "--target", "users_and_grants", "--into", "users_and_grants"]);
    assert_eq!(sql(server, "a", asked), before);
    bed.run(["restore", "--target", "users_and_grants", "--into", "gr_1"])
        .exit(1)
        .stderr_has("users and grants have no other name");
}

#[test]
fn a_dump_goes_to_another_server_and_never_over_its_own_databases() {
    let server = mariadb();
    sql(server, "a", &odd("move_1"));
    let other = root(server, 1);
    let bed = bed("mysql", &root(server, 0), "target: [move_1]", "");
    let config = std::fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let job = config.split("jobs:\n").nth(1).unwrap().to_owned();
    let job = job.replace("job: db", "job: there").replace(&root(server, 0), &other);
    std::fs::write(
        bed.path("nxs-backup.conf"),
        config + &job.replace("$DIR/out", "$DIR/there").replace("/out,", "/there,"),
    )
    .unwrap();
    bed.run(["start", "db"]);
    bed.run(["restore", "db", "--target", "move_1", "--into", "moved", "--connect", "there"])
        .noisy();
    let before = everything_in(server, "a", "move_1");
    same(&everything_in(server, "b", "moved").replace("moved", "move_1"), &before);
    for name in ["mysql", "sys", "information_schema"] {
        let ran = bed.run(["restore", "db", "--target", "move_1", "--into", name]);
        ran.exit(1).stderr_has("the server's own");
    }
}
