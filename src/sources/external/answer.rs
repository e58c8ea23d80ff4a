//! What a script answers: one JSON document on its standard output.

use std::path::PathBuf;

use serde_json::{Deserializer, Map, Value};

use crate::base::display;

/// Where the file of a script is, and what its copies are to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The file.
    pub(super) path: PathBuf,
    /// How the names of its copies begin.
    pub(super) base: String,
    /// Their extension, without a dot.
    pub(super) ext: String,
    /// Whether the file is compressed already.
    pub(super) gzip: bool,
}

impl Answer {
    /// Reads what a script has printed; line breaks and spaces around it mean nothing.
    ///
    /// Errors: a sentence that says what is wrong with it.
    pub(super) fn parse(output: &[u8]) -> Result<Self, String> {
        if output.trim_ascii().is_empty() {
            return Err(format!("dump_cmd answered nothing: {WANTED}"));
        }
        let mut documents = Deserializer::from_slice(output).into_iter::<Value>();
        let first = match documents.next() {
            Some(Ok(first)) => first,
            Some(Err(error)) => return Err(no_json(output, &error)),
            None => return Err(format!("dump_cmd answered nothing: {WANTED}")),
        };
        let rest = &output[documents.byte_offset()..];
        if !rest.trim_ascii().is_empty() {
            return Err(format!(
                "dump_cmd answered more than one document, the second begins {}: {WANTED}",
                quoted(rest)
            ));
        }
        let Value::Object(fields) = first else {
            return Err(format!("dump_cmd answered JSON that is no object: {WANTED}"));
        };
        Self::of(&fields)
    }

    fn of(fields: &Map<String, Value>) -> Result<Self, String> {
        let path = PathBuf::from(text(fields, "full_path")?);
        if !path.is_absolute() {
            let path = display(&path.to_string_lossy());
            return Err(format!("dump_cmd answered a `full_path` that is not absolute: {path}"));
        }
        let base = text(fields, "basename")?;
        if base.trim().is_empty() || base.contains('/') {
            return Err("dump_cmd answered a `basename` that is no name: it must not be empty \
                        and have no `/`"
                .to_owned());
        }
        let ext = text(fields, "extension")?.trim_start_matches('.');
        if ext.contains('/') {
            return Err("dump_cmd answered an `extension` with a `/`".to_owned());
        }
        let Value::Bool(gzip) = *field(fields, "gzip")? else {
            return Err("dump_cmd answered a `gzip` that is neither true nor false".to_owned());
        };
        Ok(Self { path, base: base.to_owned(), ext: ext.to_owned(), gzip })
    }

    /// The extension of what lies there: 2.x adds `.gz` to what is compressed.
    pub(super) fn whole_ext(&self) -> String {
        match (self.gzip, self.ext.as_str()) {
            (false, ext) => ext.to_owned(),
            (true, "") => "gz".to_owned(),
            (true, ext) if ext == "gz" || ext.ends_with(".gz") => ext.to_owned(),
            (true, ext) => format!("{ext}.gz"),
        }
    }
}

fn field<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a Value, String> {
    fields.get(key).ok_or_else(|| format!("dump_cmd answered without `{key}`: {WANTED}"))
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    let value = field(fields, key)?.as_str();
    value.ok_or_else(|| format!("dump_cmd answered a `{key}` that is no text"))
}

fn no_json(output: &[u8], error: &serde_json::Error) -> String {
    format!("dump_cmd answered no JSON ({error}), its answer begins {}: {WANTED}", quoted(output))
}

/// The beginning of an answer; what scripts say beside it belongs to stderr.
fn quoted(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let begin: String = text.trim().chars().take(60).collect();
    format!("`{}`", display(&begin))
}

const WANTED: &str = "its stdout must be one JSON document with full_path, basename, extension \
                      and gzip; anything else belongs to stderr";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_article_is_read_with_and_without_a_line_break() {
        let json =
            r#"{"full_path": "/a/b.tar", "basename": "etcd", "extension": "tar", "gzip": false}"#;
        for output in [json.to_owned(), format!("{json}\n"), format!("\n {json} \r\n\n")] {
            let answer = Answer::parse(output.as_bytes()).unwrap();
            assert_eq!((answer.path.to_str(), &*answer.base), (Some("/a/b.tar"), "etcd"));
            assert_eq!(answer.whole_ext(), "tar");
        }
    }

    #[test]
    fn what_is_compressed_says_so_once_in_its_name() {
        let answer = |ext: &str, gzip| Answer {
            path: PathBuf::new(),
            base: String::new(),
            ext: ext.to_owned(),
            gzip,
        };
        for (ext, gzip, whole) in [
            ("tar", false, "tar"),
            ("tar", true, "tar.gz"),
            ("tar.gz", true, "tar.gz"),
            ("gz", true, "gz"),
            ("", true, "gz"),
            ("", false, ""),
        ] {
            assert_eq!(answer(ext, gzip).whole_ext(), whole);
        }
    }

    #[test]
    fn a_bad_answer_is_said_in_one_clear_sentence() {
        let full = |path: &str, base: &str, gzip: &str| {
            format!(
                r#"{{"full_path": {path}, "basename": {base}, "extension": "t", "gzip": {gzip}}}"#
            )
        };
        let good = full(r#""/x""#, r#""b""#, "false");
        for (output, said) in [
            (String::new(), "answered nothing"),
            (" \n".into(), "answered nothing"),
            ("snapshot saved\n".into(), "answered no JSON (expected value at line 1 column 1)"),
            (format!("saved\n{good}"), "its answer begins `saved"),
            (good[..20].into(), "answered no JSON (EOF while parsing"),
            (format!("{good}\n{good}"), "answered more than one document"),
            (format!("{good} done"), "the second begins `done`"),
            ("[1]".into(), "JSON that is no object"),
            ("\"/x\"".into(), "JSON that is no object"),
            (r#"{"full_path": "/x"}"#.into(), "answered without `basename`"),
            (full("null", r#""b""#, "false"), "a `full_path` that is no text"),
            (full(r#""x/y""#, r#""b""#, "false"), "not absolute: x/y"),
            (full(r#""""#, r#""b""#, "false"), "not absolute"),
            (full(r#""/x""#, r#""""#, "false"), "`basename` that is no name"),
            (full(r#""/x""#, r#""../b""#, "false"), "`basename` that is no name"),
            (full(r#""/x""#, r#""b""#, "\"no\""), "`gzip` that is neither true nor false"),
        ] {
            let why = Answer::parse(output.as_bytes()).unwrap_err();
            assert!(why.starts_with("dump_cmd ") && why.contains(said), "{output}: {why}");
        }
    }
}
