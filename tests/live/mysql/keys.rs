//! What the keys of the config do: how a server is reached, and what is refused.

use crate::live::mysql::{bed, mariadb, nothing_left, root, sql, stored};
use crate::support::world::sh;

/// Every character that a shell, YAML, a URL or an option file might stumble over.
const AWKWARD: &str = "a'b\"c$d\\e f%g#h:i@j/k;l\u{fc}\u{1f98a}`!= ";

#[test]
fn every_awkward_password_works_and_nobody_sees_it() {
    let server = mariadb();
    let quoted = AWKWARD.replace('\\', "\\\\").replace('\'', "''");
    for (user, password) in [("awk_1", quoted.clone()), ("awk_2", format!("{quoted}\nnext line"))] {
        sql(
            server,
            "a",
            &format!(
                "CREATE OR REPLACE USER {user}@'127.0.0.1' IDENTIFIED BY '{password}';
             GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON *.* TO {user}@'127.0.0.1'"
            ),
        );
    }
    sql(server, "a", "CREATE DATABASE IF NOT EXISTS awk; CREATE TABLE IF NOT EXISTS awk.t (a INT)");
    for (user, password) in
        [("awk_1", AWKWARD.to_owned()), ("awk_2", format!("{AWKWARD}\nnext line"))]
    {
        let port = server.port(0);
        let connect = format!(
            "{{db_host: 127.0.0.1, db_port: '{port}', db_user: {user}, db_password: !env DB_PASSWORD}}"
        );
        // Looks at every process while the dump runs.
        let spy = format!(
            "for f in /proc/[0-9]*/cmdline; do tr '\\0' '\\n' < $f 2>/dev/null; done > {0}; \
             for f in /proc/self/environ; do tr '\\0' '\\n' < $f; done >> {0}; exec /usr/bin/mariadb-dump \"$@\"",
            "$(dirname $0)/../seen"
        );
        let bed = bed("mysql", &connect, "target: awk", "").stub("mariadb-dump", &spy);
        let bed = bed.env("DB_PASSWORD", &password);
        let ran = bed.run(["start", "-v"]).noisy();
        assert_eq!(stored(&bed).len(), 1, "{}", ran.err());
        let piece = "g#h:i@j/k";
        for (what, text) in [
            ("output", ran.out().to_owned() + ran.err()),
            ("log", std::fs::read_to_string(bed.path("log")).unwrap()),
            (
                "processes",
                String::from_utf8_lossy(&std::fs::read(bed.path("seen")).unwrap()).into_owned(),
            ),
            ("manifest", sh(&bed, "cat $DIR/out/awk/daily/*.json")),
        ] {
            assert!(!text.contains(piece), "the password stands in the {what}");
        }
        nothing_left(&bed);
    }
}

#[test]
fn the_server_is_reached_by_port_socket_option_file_and_tls() {
    let server = mariadb();
    sql(server, "a", "CREATE DATABASE IF NOT EXISTS ways; CREATE TABLE IF NOT EXISTS ways.t (a INT);
        CREATE OR REPLACE USER tls_only@'127.0.0.1' IDENTIFIED BY 'pw' REQUIRE SSL; GRANT ALL ON *.* TO tls_only@'127.0.0.1';
        CREATE OR REPLACE USER cert_only@'127.0.0.1' IDENTIFIED BY 'pw' REQUIRE X509; GRANT ALL ON *.* TO cert_only@'127.0.0.1'");
    let (port, socket) = (server.port(0), server.path("a.sock"));
    let (socket, tls) = (socket.display(), server.path("tls"));
    let tls = tls.display();
    let host = format!("db_host: 127.0.0.1, db_port: {port}");
    for connect in [
        format!("{{socket: {socket}, db_user: root}}"),
        format!("{{db_port: {port}, db_user: root, db_password: svcpw}}"),
        "{auth_file: $DIR/my.cnf, db_host: nowhere.invalid}".to_owned(),
        "{mysql_auth_file: $DIR/my.cnf}".to_owned(),
        format!("{{{host}, db_user: tls_only, db_password: pw, ca_file: {tls}/ca.crt}}"),
        format!("{{{host}, db_user: tls_only, db_password: pw, tls: require}}"),
        format!(
            "{{{host}, db_user: cert_only, db_password: pw, ssl_ca: {tls}/ca.crt, ssl_cert: {tls}/client.crt, ssl_key: {tls}/client.key}}"
        ),
    ] {
        let bed = bed("mysql", &connect, "target: ways", "");
        let bed = bed.file(
            "my.cnf",
            &format!(
                "[client]\nprotocol=tcp\nhost=127.0.0.1\nport={port}\nuser=root\npassword=svcpw\n"
            ),
        );
        bed.run(["start"]);
        assert_eq!(stored(&bed).len(), 1, "{connect}");
    }
    let refused = [
        (format!("{{{host}, db_user: tls_only, db_password: pw, tls: no}}"), "Access denied"),
        // A certificate of nobody that is trusted.
        (
            format!(
                "{{{host}, db_user: tls_only, db_password: pw, ca_file: /etc/ssl/certs/ca-certificates.crt}}"
            ),
            "SSL",
        ),
        (
            format!("{{{host}, db_user: root, db_password: svcpw, ca_file: /not/there.pem}}"),
            "the file is not there",
        ),
    ];
    for (connect, why) in refused {
        let bed = bed("mysql", &connect, "target: ways", "");
        bed.run(["start"]).exit(1).stderr_has(why);
        assert_eq!(stored(&bed), [""; 0]);
    }
}

#[test]
fn options_of_the_machine_do_not_leak_in() {
    let server = mariadb();
    sql(
        server,
        "a",
        "CREATE DATABASE IF NOT EXISTS leak; CREATE TABLE IF NOT EXISTS leak.t (a INT)",
    );
    let bed = bed("mysql", &root(server, 0), "target: leak", "");
    let bed = bed.file("home/.my.cnf", "[client]\nuser=nobody\nhost=nowhere.invalid\n[mariadb-dump]\ncompact\n[mysqldump]\ncompact\n");
    bed.run(["start"]);
    assert_eq!(stored(&bed).len(), 1);
}

#[test]
fn extra_keys_are_words_of_a_shell_or_a_list_and_what_would_lead_astray_is_an_error() {
    let server = mariadb();
    sql(
        server,
        "a",
        "CREATE DATABASE IF NOT EXISTS extra; CREATE OR REPLACE TABLE extra.t (a INT); INSERT INTO extra.t VALUES (1), (22)",
    );
    for keys in [
        "extra_keys: \"--where 'a > 9' --compact\"",
        "extra_keys: [--where, a > 9, --skip-comments]",
    ] {
        let bed = bed("mysql", &root(server, 0), &format!("target: extra\n{keys}"), "");
        bed.run(["start"]);
        let dump = sh(&bed, "zstd -dqc $DIR/out/extra/daily/*.zst");
        assert!(dump.contains("(22)") && !dump.contains("(1)"), "{dump}");
        let shown = bed.run(["show", "20261121", "--json"]).json();
        assert!(shown[0]["manifest"].to_string().contains("exit code"), "{shown:#}");
    }
    for keys in ["-A", "--databases", "-r/tmp/x", "--password=x", "other_table"] {
        let bed =
            bed("mysql", &root(server, 0), &format!("target: extra\nextra_keys: '{keys}'"), "");
        bed.run(["check"]).exit(2).noisy();
        assert!(bed.run(["start"]).noisy().code() == Some(2));
    }
    let bed = bed("mysql", &root(server, 0), "target: extra\nextra_keys: \"--where 'a\"", "");
    bed.run(["check"]).exit(2).stdout_has("a quote in it is not closed");
}

#[test]
fn the_options_of_the_templates_of_2_x_still_work() {
    let server = mariadb();
    sql(server, "a", "CREATE DATABASE IF NOT EXISTS tpl; CREATE TABLE IF NOT EXISTS tpl.t (a INT)");
    let extra = "--opt --add-drop-database --routines --comments --create-options --quote-names --order-by-primary --hex-blob";
    let source = format!(
        "target: [tpl]\nexcludes: [information_schema, mysql]\ngzip: yes\nis_slave: no\nextra_keys: '{extra}'"
    );
    let bed = bed("mysql", &root(server, 0), &source, "");
    bed.run(["start"]);
    bed.run(["restore", "--target", "tpl", "--into", "tpl_back"]);
}
