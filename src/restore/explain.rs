//! The commands with which standard tools bring an artefact back.

use crate::restore::apply::{How, strip};
use crate::restore::holdings::Held;
use crate::stream::Codec;

/// Spells the commands for one copy, quoted for a shell, one a line; `into` is `None` for
/// standard output.
pub fn explain(held: &Held<'_>, into: Option<&str>, how: &How) -> Vec<String> {
    let manifest = &held.stored.manifest;
    let mut lines = vec![format!(
        "# {} of {}, {} on '{}' ({})",
        crate::base::display(&manifest.target),
        manifest.local_start(),
        manifest.result.word(),
        held.place.name,
        held.place.location
    )];
    let local = held.place.kind == "local";
    let paths: Vec<String> = manifest
        .segments
        .iter()
        .map(|segment| match local {
            true => format!("{}/{}", held.place.location.trim_end_matches('/'), segment.key),
            false => segment.key.name().to_owned(),
        })
        .collect();
    if !local {
        lines.push("# fetch these objects first:".into());
        lines.extend(manifest.segments.iter().map(|segment| format!("#   {}", segment.key)));
    }
    lines.push(format!(r#"test "$({} | sha256sum)" = '{}  -'"#, cat(&paths), manifest.sha256));
    lines.push(unpack(held, &paths, into, how));
    lines
}

fn cat(paths: &[String]) -> String {
    let quoted: Vec<_> = paths.iter().map(|path| shell_words::quote(path)).collect();
    format!("cat {}", quoted.join(" "))
}

fn unpack(held: &Held<'_>, paths: &[String], into: Option<&str>, how: &How) -> String {
    let manifest = &held.stored.manifest;
    let decode = match manifest.compression.codec {
        Codec::None => "",
        Codec::Gzip => " | gzip -dc",
        Codec::Zstd => " | zstd -dc",
    };
    let raw = format!("{}{decode}", cat(paths));
    let Some(into) = into.map(shell_words::quote) else { return raw };
    if manifest.index.is_none() {
        let name = manifest.segments[0].key.name();
        let name = name.strip_suffix(manifest.compression.codec.suffix()).unwrap_or(name);
        return format!("mkdir -p {into} && {raw} > {into}/{}", shell_words::quote(name));
    }
    format!(
        "mkdir -p {into} && {raw} | tar -x -p --numeric-owner --acls --xattrs \
         --xattrs-include='*' -C {into}{}",
        members(held, how)
    )
}

/// What narrows `tar`: components that are left away, and patterns of members.
fn members(held: &Held<'_>, how: &How) -> String {
    let mut words = String::new();
    if let Some(path) = strip(held, how) {
        let depth = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).count();
        words.push_str(&format!(" --strip-components={depth}"));
    }
    if !how.paths.is_empty() {
        words.push_str(" --wildcards");
    }
    for path in &how.paths {
        words.push(' ');
        words.push_str(&shell_words::quote(path.trim_matches('/')));
    }
    words
}
