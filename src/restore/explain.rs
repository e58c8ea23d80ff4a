//! The commands with which standard tools bring an artefact back.

use crate::catalogue::Manifest;
use crate::restore::holdings::Held;
use crate::stream::Codec;

/// Spells the commands for one copy, quoted for a shell, one a line.
pub fn explain(held: &Held<'_>, into: &str) -> Vec<String> {
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
    lines.push(format!("{} | sha256sum  # must print {}", cat(&paths), manifest.sha256));
    lines.push(unpack(manifest, &paths, into));
    lines
}

fn cat(paths: &[String]) -> String {
    let quoted: Vec<_> = paths.iter().map(|path| shell_words::quote(path)).collect();
    format!("cat {}", quoted.join(" "))
}

fn unpack(manifest: &Manifest, paths: &[String], into: &str) -> String {
    let decode = match manifest.compression.codec {
        Codec::None => "",
        Codec::Gzip => " | gzip -dc",
        Codec::Zstd => " | zstd -dc",
    };
    let into = shell_words::quote(into);
    let source = cat(paths);
    match manifest.index.is_some() {
        true => format!(
            "mkdir -p {into} && {source}{decode} | tar -x -p --numeric-owner --acls --xattrs \
             --xattrs-include='*' -C {into}"
        ),
        false => {
            let name = manifest.segments[0].key.name();
            let raw = name.strip_suffix(manifest.compression.codec.suffix()).unwrap_or(name);
            format!("mkdir -p {into} && {source}{decode} > {into}/{}", shell_words::quote(raw))
        }
    }
}
