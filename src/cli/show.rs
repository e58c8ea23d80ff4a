//! `show ID`: everything about one backup.

use jiff::Timestamp;

use crate::base::{count, display};
use crate::cli::args::{Globals, OneId};
use crate::cli::failure::{Failure, NOTHING};
use crate::cli::{list, output, setup};
use crate::restore::holdings::{self, Held, Holdings};
use crate::run::Selection;

/// Prints one backup, on each storage that has it.
pub(crate) fn run(globals: &Globals, verb: &OneId) -> Result<u8, Failure> {
    let (plan, _) = setup::plan_for(globals, &[])?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    let scope = list::scope(&verb.scope, &plan)?;
    let looking = holdings::look(&plan, &Selection::All, &scope);
    let holdings = setup::block_on(&env.cancel, looking)?;
    let held = by_id(&holdings, &verb.id)?;
    let now = env.clock.now().timestamp();
    match globals.json {
        true => output::json(&held.iter().map(json).collect::<Vec<_>>()),
        false => held.iter().for_each(|held| print(held, now)),
    }
    Ok(0)
}

/// Finds the copies of one artefact by its id or the beginning of it.
pub(crate) fn by_id<'a>(holdings: &'a Holdings<'a>, id: &str) -> Result<Vec<Held<'a>>, Failure> {
    let starts = |held: &Held<'_>| held.stored.manifest.id.as_str().starts_with(id);
    let held: Vec<_> = holdings.copies().filter(starts).collect();
    let exact: Vec<_> =
        held.iter().copied().filter(|held| held.stored.manifest.id.as_str() == id).collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let Some(first) = held.first() else {
        let error = Failure::new(NOTHING, format!("no backup has the id {id:?}"));
        return Err(error.hint("`nxs-backup list` shows the ids."));
    };
    let other = held.iter().find(|other| other.stored.manifest.id != first.stored.manifest.id);
    match other {
        None => Ok(held),
        Some(other) => Err(Failure::usage(format!(
            "{id:?} may mean {} or {}: write more of it",
            first.stored.manifest.id, other.stored.manifest.id
        ))),
    }
}

fn json(held: &Held<'_>) -> serde_json::Value {
    serde_json::json!({
        "storage": held.place.name,
        "location": held.place.location,
        "intact": held.stored.intact,
        "problem": held.stored.problem,
        "manifest": held.stored.manifest,
    })
}

fn print(held: &Held<'_>, now: Timestamp) {
    let manifest = &held.stored.manifest;
    let say = |name: &str, value: String| output::line(format!("{name:<12} {value}"));
    say("id", manifest.id.to_string());
    say("storage", format!("'{}' {}", held.place.name, held.place.location));
    say("job", format!("{} ({}) on {}", manifest.job, manifest.kind, manifest.server_name));
    if let Some(source) = &manifest.source {
        say("source", source.clone());
    }
    say("target", display(&manifest.target));
    say("level", manifest.level.clone());
    if let Some(parent) = &manifest.parent {
        say("builds on", format!("{} ({})", parent.id, parent.key));
    }
    if let Some(tree) = &manifest.tree {
        let size = output::size(tree.bytes);
        let files = count(tree.files, "file or folder", "files and folders");
        say("tree", format!("{files}, {size} ({} bytes)", tree.bytes));
    }
    say("started", format!("{} ({})", manifest.local_start(), manifest.started));
    say("finished", manifest.finished.to_string());
    if let Some(files) = manifest.files {
        say("files", files.to_string());
    }
    say("size", format!("{} ({} bytes)", output::size(manifest.raw_bytes), manifest.raw_bytes));
    say(
        "stored",
        format!("{} ({} bytes)", output::size(manifest.stored_bytes), manifest.stored_bytes),
    );
    say("compression", format!("{:?}", manifest.compression.codec).to_lowercase());
    for segment in &manifest.segments {
        say("object", format!("{} ({} bytes)", segment.key, segment.bytes));
    }
    say("sha256", manifest.sha256.to_string());
    say("blake3", manifest.blake3.to_string());
    let marks = list::marks(held, now).join(", ");
    say("result", [manifest.result.word(), &marks].join(" ").trim().to_owned());
    if let Some(problem) = &held.stored.problem {
        say("problem", problem.clone());
    }
    let warnings = &manifest.warnings;
    for (word, noted) in [
        ("unreadable", &warnings.unreadable),
        ("changed", &warnings.changed),
        ("vanished", &warnings.vanished),
    ] {
        noted.first.iter().for_each(|line| say(word, display(line)));
        let more = noted.count - noted.first.len() as u64;
        if more > 0 {
            say(word, format!("and {more} more"));
        }
    }
    warnings.notes.iter().for_each(|note| say("note", display(note)));
    output::line("");
}
