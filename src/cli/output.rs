//! Printing: lines, tables, JSON, sizes and times as people read them.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use comfy_table::{Table, presets};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

/// Prints a line on standard output; what went wrong with that is told by [`trouble`].
pub(crate) fn line(text: impl Display) {
    note(writeln!(anstream::stdout(), "{text}"));
}

/// Writes what still waits and tells why standard output lacks something, if it does.
pub(crate) fn trouble() -> Option<&'static str> {
    note(std::io::stdout().flush());
    TROUBLE.get().map(String::as_str)
}

/// Keeps the first error; a reader that went away has seen enough.
fn note(written: std::io::Result<()>) {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            TROUBLE.get_or_init(|| error.to_string());
        }
        _ => {}
    }
}

static TROUBLE: OnceLock<String> = OnceLock::new();

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("what is printed has only plain values");
    line(text);
}

/// Makes a table without lines, its heads in capitals.
pub(crate) fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(heads.iter().map(|head| head.to_uppercase()));
    table
}

/// Prints a table without blanks at the ends of its lines.
pub(crate) fn print(table: &Table) {
    for row in table.to_string().lines() {
        line(row.trim_end().strip_prefix(' ').unwrap_or(row.trim_end()));
    }
}

/// Spells a size: `1.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

/// Spells a moment by the clock on the wall.
pub(crate) fn moment(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Makes a pattern of a path or glob as people give it: a bare name is looked for in every folder,
/// and a name may be written as `find` prints it, with `%XX` for bytes.
pub(crate) fn pattern(given: &str) -> String {
    let bytes = crate::base::untext(given);
    let text = bytes.utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        // No pattern can hold these bytes; each is matched by any one.
        text.extend(chunk.invalid().iter().map(|_| '?'));
        text
    });
    if text.contains('/') { text } else { format!("**/{text}") }
}

/// Tells whether a person reads standard output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Paints text, if colours are wanted.
pub(crate) fn paint(text: &str, color: anstyle::AnsiColor) -> String {
    let style = color.on_default();
    format!("{style}{text}{style:#}")
}
