//! Odd content comes back as it was, in both formats, by our restore and by stock tools alone.

use crate::live::postgresql::{bed, fingerprint, server, sql};
use crate::support::world::sh;

const ROLES: &str = "do $$ begin create role odd_owner nologin; create role \"Odd \"\"Reader\" nologin; \
    exception when duplicate_object then null; end $$";

const ODD: &str = r#"
create schema "Sch ema"; create schema empty_one; set search_path = public;
create type mood as enum ('fröhlich', 'it''s \ odd', '');
create domain positive as int check (value > 0);
create type pair as (a text, b positive);
create table nothing(x int); create table no_columns(); insert into no_columns default values;
create table texts(id bigint generated always as identity primary key, t text, m mood, p pair, a text[]);
insert into texts(t, m, p, a) values
  ('ünïcödé 日本語 😀', 'fröhlich', row('a,b "c"', 5), array['x', null, 'a,"b"']),
  (null, null, null, null), ('', 'it''s \ odd', null, '{}'),
  (E'tab\tnewline\nreturn\rback\\slash \\. \\N \x01', '', null, array[E'\\', '"']),
  (E'\\.', null, null, null), (E'\\connect other', null, null, null);
create table bytes(id serial, b bytea); insert into bytes(b) select decode(string_agg(lpad(to_hex(i), 2, '0'), ''), 'hex')
  from generate_series(0, 255) i; insert into bytes(b) values (null), ('');
create table numbers(n numeric, f float8, t timestamptz, d date, r int4range, j jsonb, i interval, u uuid);
insert into numbers values ('NaN', 'Infinity', 'infinity', '-infinity', '[1,5)', '{"a": [null, "ü\"\\"]}', '1 year -2 days', gen_random_uuid()),
  (123456789012345678901234567890.123456789, -1.1e-300, '0044-03-15 12:00 BC', '9999-12-31', 'empty', 'null', '-00:00:01', null);
create table generated(a int, b int generated always as (a * 2) stored, c text default 'x''y'); insert into generated(a) values (1), (null);
create table parent(id int primary key, up int references parent deferrable initially deferred); insert into parent values (1, 2), (2, 1);
create table child(id int references parent on delete cascade, other int unique, check (id <> other)); insert into child values (1, 7);
create table part(k int, v text) partition by range (k); create table part_1 partition of part for values from (0) to (10);
create table part_d partition of part default; insert into part values (1, 'one'), (99, 'rest');
create table base(x int); create table heir(y int) inherits (base); insert into heir values (1, 2);
create table "Sch ema"."Ta ble ""q"" 'a' \ ; --"("Col umn" int, "select" text, "ü$" text); insert into "Sch ema"."Ta ble ""q"" 'a' \ ; --" values (1, '$$', '$_$');
create unlogged table unlogged_one(x int); insert into unlogged_one values (1);
create table wide as select i, repeat(md5(i::text), 50) as t from generate_series(1, 2000) i; create index on wide(i) where i > 5; create index wide_e on wide(lower(t));
alter table wide add primary key (i); create statistics wide_s on i, t from wide;
create sequence seq start 100 increment -7 minvalue -1000 maxvalue 1000 cycle; select nextval('seq'), nextval('seq');
create view v as select t, 'a;''b' as s from texts where t is not null; alter view v owner to odd_owner;
create materialized view mv as select count(*) as n from wide; create unique index on mv(n);
create function f(a int, out b text) language plpgsql security definer as $_$ begin
  b := 'it''s
\connect other
' || $$ create database x; $$ || a; end $_$;
create function atomic_one(a int) returns int language sql begin atomic select a + 1; select a + 2; end;
create procedure pr(inout a int) language plpgsql as $$ begin a := a + 1; end $$;
create function tr() returns trigger language plpgsql as 'begin return new; end'; create trigger tg before insert on texts for each row execute function tr();
create rule ru as on insert to nothing where new.x < 0 do instead nothing;
alter table texts enable row level security; create policy po on texts using (t <> 'x');
alter table child owner to odd_owner; grant select on texts to "Odd ""Reader"; grant usage on schema "Sch ema" to public; revoke execute on function f from public;
alter default privileges in schema public grant select on tables to "Odd ""Reader"; comment on table texts is 'it''s \ a $$ comment';
create aggregate su(int) (sfunc = int4pl, stype = int); create operator === (leftarg = int, rightarg = int, function = int4eq);
create collation co (locale = 'C'); create publication pub for table wide;
create function ev() returns event_trigger language plpgsql as 'begin end'; create event trigger et on ddl_command_end execute function ev();
select lo_from_bytea(70001, decode('00ff0a5c27', 'hex')), lo_from_bytea(70002, convert_to(repeat('large ', 100000), 'UTF8')), lo_create(70003);
alter large object 70001 owner to odd_owner; grant select on large object 70002 to "Odd ""Reader"; comment on large object 70003 is 'empty';
"#;

/// A name that every layer spells in another way.
const NAME: &str = r#"odd "db's" \ %: ü/x=y $HOME"#;

fn prepare(name: &str) {
    sql(server(), "postgres", ROLES);
    let quoted = name.replace('"', "\"\"");
    sql(server(), "postgres", &format!("create database \"{quoted}\""));
    // Several statements of one text are one transaction, as large objects need.
    sql(server(), name, ODD);
}

#[test]
fn an_odd_database_comes_back_as_it_was_and_by_stock_tools_alone() {
    let server = server();
    prepare(NAME);
    let before = fingerprint(server, NAME);
    assert!(before.contains("70002") && before.contains("fröhlich"), "{before}");
    let target = serde_json::to_string(NAME).unwrap();
    let bed = bed(server, &format!("target: [{target}]"));
    bed.run(["start"]);
    // Stock tools alone: the stored file through zstd into psql.
    sql(server, "postgres", "create database odd_stock template template0");
    let file = bed.files("store").into_iter().find(|name| name.ends_with(".pgdump.sql.zst"));
    sh(
        &bed,
        &format!(
            "zstd -dc 'store/{}' | psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -U postgres -h {} -p \
             {} odd_stock",
            file.unwrap().replace('\'', "'\\''"),
            server.path("sock").display(),
            server.port(0)
        ),
    );
    assert_eq!(fingerprint(server, "odd_stock"), before);
    sql(server, "postgres", &format!("drop database \"{}\"", NAME.replace('"', "\"\"")));
    bed.run(["restore", "--into", NAME]).stdout_has("loaded from 'local'");
    assert_eq!(fingerprint(server, NAME), before);
    assert_eq!(
        sql(
            server,
            NAME,
            "select pg_encoding_to_char(encoding) from pg_database where datname = current_database()"
        ),
        "UTF8"
    );
}

#[test]
fn an_odd_database_comes_back_from_an_archive_and_by_pg_restore_alone() {
    let server = server();
    prepare("odd_custom");
    let before = fingerprint(server, "odd_custom");
    let bed =
        bed(server, "target: [odd_custom]\n    format: custom\n    extra_keys: [--compress=1]");
    bed.run(["start"]);
    let shown = bed.run(["show", "2026", "--json"]).json();
    assert_eq!(shown[0]["manifest"]["checked"], "pg_restore read all of it", "{shown}");
    let file = bed.files("store").into_iter().find(|name| name.ends_with(".pgdump.zst")).unwrap();
    sql(server, "postgres", "drop database odd_custom");
    let at = format!("-U postgres -h {} -p {}", server.path("sock").display(), server.port(0));
    sh(&bed, &format!("zstd -dc store/{file} | pg_restore -e -C {at} -d postgres"));
    assert_eq!(fingerprint(server, "odd_custom"), before);
    bed.run(["restore", "--into", "odd_custom_2"]);
    assert_eq!(fingerprint(server, "odd_custom_2"), before);
}

#[test]
fn another_encoding_and_locale_come_back() {
    let server = server();
    let make =
        "create database latin encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'";
    sql(server, "postgres", make);
    sql(server, "latin", "create table t as select 'größe'::text as t");
    for (format, into) in [("plain", "latin_1"), ("custom", "latin_2")] {
        let bed = bed(server, &format!("target: [latin]\n    format: {format}"));
        bed.run(["start"]);
        bed.run(["restore", "--into", into]);
        let like = "select pg_encoding_to_char(encoding), datcollate, datctype from pg_database where \
                    datname = current_database()";
        assert_eq!(sql(server, into, like), "LATIN1|C|C", "{format}");
        assert_eq!(sql(server, into, "select t, octet_length(t) from t"), "größe|5", "{format}");
    }
    // Without the original, an archive still knows both; a plain dump knows the encoding.
    let again = bed(server, "target: [latin]\n    format: custom");
    again.run(["start"]);
    sql(server, "postgres", "drop database latin");
    again.run(["restore", "--into", "latin"]);
    let like = "select pg_encoding_to_char(encoding) from pg_database where datname = 'latin'";
    assert_eq!(sql(server, "postgres", like), "LATIN1");
}
