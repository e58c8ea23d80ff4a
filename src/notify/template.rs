//! Templates of messages: Jinja2, filled with a [`View`].
//!
//! A name that is not there is an error, never an empty text: a typo must not send empty alarms.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::base::PENDING;
use crate::notify::view::{Line, Row, View};

/// Fills `template` with `view`.
///
/// Errors: in words, with the line of the template.
pub(crate) fn fill(template: &str, view: &View) -> Result<String, String> {
    engine().render_str(template, Serde(view)).map_err(|error| words(&error))
}

/// Fills a page of HTML: what `page` holds is escaped.
pub(crate) fn fill_html(template: &str, page: &impl serde::Serialize) -> Result<String, String> {
    let mut engine = engine();
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    engine.render_str(template, Serde(page)).map_err(|error| words(&error))
}

/// Says what is wrong with a template, as far as a message that has everything and one of a good
/// night show it.
pub(crate) fn problem(template: &str) -> Option<String> {
    if template == PENDING {
        return None;
    }
    let whole = fill(template, &sample()).err();
    let quiet = || {
        let why = fill(template, &quiet()).err()?;
        Some(format!("{why}, where there are no errors, warnings or jobs"))
    };
    whole.or_else(quiet)
}

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.add_filter("tojson", json);
    engine
}

/// The engine's own takes what is not there for `null`.
fn json(value: Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let json = serde_json::to_string(&value);
    let unfit =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    json.map(Value::from_safe_string).map_err(unfit)
}

fn words(error: &minijinja::Error) -> String {
    let what = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// A view in which nothing is empty.
fn sample() -> View {
    let line = || Line { job: "job".into(), text: "text".into() };
    let row = Row {
        job: "job".into(),
        kind: "type".into(),
        time: "time".into(),
        result: "failed",
        raw_bytes: 1,
        stored_bytes: 1,
        size: "1 B".into(),
        stored: "1 B".into(),
        took: "1 s".into(),
        change: "+1 %".into(),
        targets: 1,
        copies: 1,
    };
    View {
        server: "server".into(),
        severity: "error".into(),
        headline: "headline".into(),
        subject: "subject".into(),
        time: "time".into(),
        sums: "sums".into(),
        errors: vec![line()],
        warnings: vec![line()],
        jobs: vec![row],
        removed: vec![line()],
        notes: vec!["note".into()],
        log: vec!["log".into()],
    }
}

/// A view in which everything is empty that can be.
fn quiet() -> View {
    View {
        errors: Vec::new(),
        warnings: Vec::new(),
        jobs: Vec::new(),
        removed: Vec::new(),
        notes: Vec::new(),
        log: Vec::new(),
        ..sample()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_the_line_and_what_is_wrong_there() {
        for (template, said) in [
            ("{\n \"text\": {{ subject|tojson }}\n}", None),
            ("{% for job in jobs %}{{ job.job }} {{ job.result }}{% endfor %}", None),
            (PENDING, None),
            ("a\n{{ subjekt }}", Some("line 2: undefined value")),
            ("a\n{{ subjekt|tojson }}", Some("line 2: undefined value")),
            ("a\nb\n{{ subject", Some("line 3: syntax error")),
            ("{{ subject|shout }}", Some("line 1: unknown filter")),
            ("{% for job in jobs %}\n{{ job.nam }}{% endfor %}", Some("line 2: undefined value")),
            ("{{ (errors|first).text }}", Some("line 1: undefined value")),
            ("{% if errors %}{{ errors[0].text }}{% endif %}", None),
        ] {
            let problem = problem(template);
            match said {
                None => assert_eq!(problem, None, "{template}"),
                Some(said) => assert!(problem.as_ref().unwrap().starts_with(said), "{problem:?}"),
            }
        }
    }
}
