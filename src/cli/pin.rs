//! `pin` and `unpin`: keep a backup whatever rotation says, or let rotation have it again.

use crate::base::chain;
use crate::cli::args::{Globals, OneId};
use crate::cli::failure::{Failure, NOTHING, PARTLY};
use crate::cli::{list, output, setup, show};
use crate::restore::holdings::{self, Held};
use crate::run::Selection;
use crate::storages;
use crate::stream::ByteStream;

/// Rewrites the manifest on every storage that has the backup.
pub(crate) fn run(globals: &Globals, verb: &OneId, pinned: bool) -> Result<u8, Failure> {
    let (plan, _) = setup::plan_for(globals, &[])?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    let scope = list::scope(&verb.scope, &plan)?;
    setup::block_on(&env.cancel, async {
        // A run must not rotate away what it saw before the pin.
        let _lock = match globals.dry_run {
            true => None,
            false => Some(setup::lock(&plan.main, &env).await?),
        };
        let holdings = holdings::look(&plan, &Selection::All, &scope).await;
        let held = show::by_id(&holdings, &verb.id)?;
        let mut failed = 0;
        for held in &held {
            let word = if pinned { "pinned" } else { "unpinned" };
            let said = match globals.dry_run {
                true => Ok(format!("would be {word}")),
                false => set(held, pinned).await.map(|()| word.to_owned()),
            };
            let said = said.unwrap_or_else(|error| {
                failed += 1;
                format!("not {word}: {}", chain(&error))
            });
            output::line(format!("{} on '{}': {said}", held.stored.manifest.id, held.place.name));
        }
        Ok(match failed {
            0 => 0,
            all if all == held.len() => NOTHING,
            _ => PARTLY,
        })
    })?
}

async fn set(held: &Held<'_>, pinned: bool) -> Result<(), storages::Error> {
    let manifest = crate::catalogue::Manifest { pinned, ..held.stored.manifest.clone() };
    let json = ByteStream::from_bytes(manifest.to_json());
    held.place.storage.put(&held.stored.manifest_key, json).await.map(drop)
}
