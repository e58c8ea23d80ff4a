//! `find GLOB`: files inside the backups, in all of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::archive::Selection as Paths;
use crate::base::{chain, display, text};
use crate::cli::args::{Find, Globals};
use crate::cli::failure::{Failure, NOTHING, PARTLY};
use crate::cli::{list, output, setup};
use crate::restore::holdings;
use crate::restore::pick::{Choice, every};
use crate::restore::ranged::open_index;

/// One file in one backup.
#[derive(Serialize)]
struct Row {
    path: String,
    size: u64,
    modified: Option<jiff::Timestamp>,
    job: String,
    id: String,
    /// The artefact that holds its bytes, when it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
    started: jiff::Timestamp,
}

/// Looks into the index of every backup, the youngest first.
pub(crate) fn run(globals: &Globals, verb: &Find) -> Result<u8, Failure> {
    let (plan, selection) = setup::plan_for(globals, &verb.jobs)?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    let paths = Paths::new(&[output::pattern(&verb.glob)]).map_err(Failure::usage)?;
    let scope = list::scope(&verb.scope, &plan)?;
    let (rows, problems) = setup::block_on(&env.cancel, async {
        let holdings = holdings::look(&plan, &selection, &scope).await;
        let choices = every(&holdings, &selection);
        let (mut rows, mut problems) = (Vec::new(), holdings.troubles.clone());
        for choice in choices.iter().filter(|choice| choice.manifest.index.is_some()) {
            if let Err(problem) = look(choice, &paths, &mut rows).await {
                problems.push(format!("{}: {problem}", display(&choice.manifest.target)));
            }
        }
        (rows, problems)
    })?;
    match globals.json {
        true => output::json(&serde_json::json!({"files": rows, "troubles": problems})),
        false => print(&rows, &problems),
    }
    Ok(match (rows.is_empty(), problems.is_empty()) {
        (true, _) => NOTHING,
        (false, false) => PARTLY,
        (false, true) => 0,
    })
}

/// Asks each storage that has the artefact until one gives its index.
async fn look(choice: &Choice<'_>, paths: &Paths, rows: &mut Vec<Row>) -> Result<(), String> {
    let mut tries = Vec::new();
    for held in &choice.held {
        let found = async {
            let index = open_index(held).await.map_err(|error| chain(&error))?;
            let mut entries = index.matching(paths);
            let mut found = Vec::new();
            while let Some(entry) = entries.next().await.map_err(|error| chain(&error))? {
                found.push(Row {
                    path: text(&entry.path),
                    size: entry.size,
                    modified: jiff::Timestamp::from_nanosecond(entry.mtime_ns.into()).ok(),
                    job: choice.manifest.job.clone(),
                    id: choice.manifest.id.to_string(),
                    held_by: entry
                        .artefact
                        .filter(|holder| *holder != choice.manifest.id)
                        .map(|holder| holder.to_string()),
                    started: choice.manifest.started,
                });
            }
            Ok::<_, String>(found)
        };
        match found.await {
            Ok(found) => {
                rows.extend(found);
                return Ok(());
            }
            Err(problem) => tries.push(format!("'{}': {problem}", held.place.name)),
        }
    }
    Err(tries.join("; "))
}

/// One line a path, with the youngest backup that has it: rows come the youngest first.
fn print(rows: &[Row], problems: &[String]) {
    let mut copies: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        copies.entry(&row.path).or_default().push(row);
    }
    let heads = ["path", "size", "modified", "job", "last backup", "id", "backups"];
    let mut table = output::table(&heads);
    for (path, rows) in copies {
        let row = rows[0];
        let modified = row.modified.map(output::moment).unwrap_or_default();
        table.add_row([
            path,
            &output::size(row.size),
            &modified,
            &row.job,
            &output::moment(row.started),
            &row.id,
            &rows.len().to_string(),
        ]);
    }
    match table.is_empty() {
        true if problems.is_empty() => output::line("nothing matches in any backup"),
        true => output::line("nothing matches in what could be read"),
        false => output::print(&table),
    }
    for problem in problems {
        output::line(format!("{}: {problem}", output::paint("error", anstyle::AnsiColor::Red)));
    }
}
