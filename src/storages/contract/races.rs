//! Promises about calls at the same time.

use futures_util::future::{join_all, try_join_all};

use crate::base::{KIB, chain};
use crate::storages::contract::Kept;
use crate::storages::contract::at::{At, noise, same};

pub(super) async fn puts(at: &At<'_>) -> Kept {
    let names: Vec<_> = (0..at.pick(2, 24)).map(|number| format!("f{number}/x")).collect();
    let bytes = noise(4, 150 * KIB);
    try_join_all(names.iter().map(|name| at.put(name, &bytes))).await?;
    // Folders that empty while others fill them.
    try_join_all(names.iter().map(|name| async {
        at.storage.delete(&at.key(name)?).await.map_err(|error| chain(&error))?;
        at.put(name, &bytes).await
    }))
    .await?;
    let mut should = names.clone();
    should.sort();
    same("the list", at.names("").await?, should)?;
    try_join_all(names.iter().map(|name| at.holds(name, &bytes))).await.map(drop)
}

pub(super) async fn one_key(at: &At<'_>) -> Kept {
    let all: Vec<_> = (1..=at.pick(3, 8)).map(|seed| noise(seed, 90 * KIB)).collect();
    let done = join_all(all.iter().map(|bytes| at.put("object", bytes))).await;
    if let Some(Err(error)) = done.iter().find(|done| done.is_err()) {
        return Err(error.clone());
    }
    let found = at.read("object").await?;
    same("the list", at.names("").await?, vec!["object".to_owned()])?;
    same("that one of them won", all.contains(&found), true)
}

pub(super) async fn old_or_new(at: &At<'_>) -> Kept {
    let length = 400 * KIB;
    let all: Vec<_> = (1..=at.pick(3, 10)).map(|seed| noise(seed, length)).collect();
    at.put("object", &all[0]).await?;
    let write = async {
        for bytes in &all {
            at.put("object", bytes).await?;
        }
        Ok::<(), String>(())
    };
    let read = async {
        for _ in 0..all.len() {
            let found = at.part("object", 0..length as u64).await?;
            same("that a reader got one whole object", all.contains(&found), true)?;
        }
        Ok(())
    };
    tokio::try_join!(write, read).map(drop)
}
