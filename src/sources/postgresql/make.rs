//! How the database is made that a dump is loaded into: like the one that it replaces, else like
//! the original, else as far as the dump itself tells.

use serde::Deserialize;

use crate::base::MIB;
use crate::sources::postgresql::server::{identifier, literal};
use crate::stream::ByteStream;

/// What a database is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Properties {
    owner: Option<String>,
    encoding: String,
    collate: Option<String>,
    ctype: Option<String>,
    /// `c`, `i` for ICU, `b` for the server's own.
    provider: Option<String>,
    locale: Option<String>,
    /// Whether new databases are copied from it.
    pub(super) is_template: bool,
}

/// Asks for the properties of `database`, as JSON; `null` where it is not there.
pub(super) fn question(database: &str) -> String {
    format!(
        "select coalesce((select json_build_object('owner', pg_catalog.pg_get_userbyid(datdba), \
         'encoding', pg_catalog.pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', \
         datctype, 'provider', to_jsonb(d)->>'datlocprovider', 'locale', \
         coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'), 'is_template', \
         datistemplate) from pg_catalog.pg_database d where datname = {}), 'null')",
        literal(database)
    )
}

/// Asks for the statements that give `into` what `old` has as a database: settings, rights,
/// limit, comment.
pub(super) fn inherited(into: &str, old: &str) -> String {
    let (old, into) = (literal(old), literal(into));
    format!(
        "with d as (select *, pg_catalog.quote_ident({into}) as name from pg_catalog.pg_database \
         where datname = {old}), s as (\
         select 1 as turn, format('alter database %s set %I to %s', name, \
         split_part(c, '=', 1), case when split_part(c, '=', 1) in ('search_path', \
         'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') then \
         substr(c, strpos(c, '=') + 1) else quote_literal(substr(c, strpos(c, '=') + 1)) end) as sql \
         from d join pg_catalog.pg_db_role_setting on setdatabase = d.oid and setrole = 0, \
         unnest(setconfig) c \
         union all select 2, format('revoke all on database %s from public', name) from d where \
         datacl is not null \
         union all select 3, format('grant %s on database %s to %s%s', privilege_type, name, \
         case grantee when 0 then 'public' else \
         pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) end, case is_grantable when \
         true then ' with grant option' else '' end) from d, aclexplode(datacl) where grantee <> \
         datdba \
         union all select 4, format('alter database %s connection limit %s', name, datconnlimit) \
         from d where datconnlimit >= 0 \
         union all select 5, format('comment on database %s is %L', name, \
         pg_catalog.shobj_description(oid, 'pg_database')) from d where \
         pg_catalog.shobj_description(oid, 'pg_database') is not null) \
         select coalesce(json_agg(sql order by turn), '[]') from s"
    )
}

/// Spells CREATE DATABASE for `name`.
pub(super) fn create(name: &str, head: &str, like: Option<&Properties>) -> String {
    let own = said_by(head);
    let encoding = own.as_ref().map(|own| own.encoding.as_str()).filter(|said| !said.is_empty());
    let owner = like.and_then(|like| like.owner.clone());
    // A locale fits an encoding only.
    let fits = |like: &&Properties| encoding.is_none_or(|encoding| encoding == like.encoding);
    let like = like.filter(fits).or(own.as_ref());
    let mut sql = format!("create database {} template template0", identifier(name));
    let mut clause = |word: &str, value: Option<&str>| {
        if let Some(value) = value {
            sql.push_str(&format!(" {word} {}", literal(value)));
        }
    };
    clause("encoding", encoding.or(like.map(|like| like.encoding.as_str())));
    if let Some(like) = like {
        clause("lc_collate", like.collate.as_deref());
        clause("lc_ctype", like.ctype.as_deref());
        match like.provider.as_deref() {
            Some("i") => {
                clause("locale_provider", Some("icu"));
                clause("icu_locale", like.locale.as_deref());
            }
            Some("b") => {
                clause("locale_provider", Some("builtin"));
                clause("builtin_locale", like.locale.as_deref());
            }
            _ => {}
        }
    }
    if let Some(owner) = owner {
        sql.push_str(&format!(" owner {}", identifier(&owner)));
    }
    sql
}

/// Looks at the beginning of a dump and puts it back.
pub(super) async fn head_of(dump: &mut ByteStream) -> String {
    match dump.next().await {
        Ok(Some(chunk)) => {
            let head = String::from_utf8_lossy(&chunk[..chunk.len().min(MIB)]).into_owned();
            dump.unread(chunk);
            head
        }
        // What reads it next meets the end or the error.
        _ => String::new(),
    }
}

/// What a dump says of its database: a plain one its encoding; an archive has the statement that
/// would make it.
fn said_by(head: &str) -> Option<Properties> {
    let encoding = quoted_after(head, "client_encoding = '")?;
    let made = head.split_once("CREATE DATABASE ").and_then(|(_, rest)| rest.split_once(';'));
    let made = made.map_or("", |(made, _)| made);
    let said = |word: &str| quoted_after(made, word);
    let all = said(" LOCALE = '");
    let icu = said("ICU_LOCALE = '");
    Some(Properties {
        encoding,
        collate: said("LC_COLLATE = '").or_else(|| all.clone()),
        ctype: said("LC_CTYPE = '").or(all),
        provider: icu.is_some().then(|| "i".to_owned()),
        locale: icu,
        ..Properties::default()
    })
}

fn quoted_after(text: &str, begin: &str) -> Option<String> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once('\'').map(|(value, _)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf8() -> Properties {
        Properties {
            owner: Some("app".to_owned()),
            encoding: "UTF8".to_owned(),
            collate: Some("de_DE.UTF-8".to_owned()),
            ctype: Some("C.UTF-8".to_owned()),
            ..Properties::default()
        }
    }

    #[test]
    fn a_database_is_made_like_the_one_that_it_replaces() {
        assert_eq!(
            create("new", "SET client_encoding = 'UTF8';", Some(&utf8())),
            "create database \"new\" template template0 encoding 'UTF8' lc_collate 'de_DE.UTF-8' \
             lc_ctype 'C.UTF-8' owner \"app\""
        );
        let icu =
            Properties { provider: Some("i".to_owned()), locale: Some("de".to_owned()), ..utf8() };
        assert!(create("new", "", Some(&icu)).contains("locale_provider 'icu' icu_locale 'de'"));
    }

    #[test]
    fn a_locale_goes_only_with_its_encoding() {
        let sql = create("new", "SET client_encoding = 'LATIN1';", Some(&utf8()));
        assert_eq!(
            sql,
            "create database \"new\" template template0 encoding 'LATIN1' owner \"app\""
        );
    }

    #[test]
    fn an_archive_knows_more_than_a_plain_dump() {
        let head = "..SET client_encoding = 'LATIN1';..CREATE DATABASE x WITH TEMPLATE = template0 \
                    ENCODING = 'LATIN1' LOCALE_PROVIDER = libc LOCALE = 'de_DE';..";
        assert_eq!(
            create("new", head, None),
            "create database \"new\" template template0 encoding 'LATIN1' lc_collate 'de_DE' \
             lc_ctype 'de_DE'"
        );
        assert_eq!(create("new", "", None), "create database \"new\" template template0");
    }
}
