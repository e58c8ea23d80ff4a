//! The index of the copy that an increment builds on, brought to this machine and checked.

use std::io::Write;

use sha2::{Digest as _, Sha256};

use crate::archive::{Base, EntryKind, IndexFile};
use crate::base::{Digest, chain};
use crate::catalogue::{IndexRef, Manifest};
use crate::run::Run;
use crate::run::flow::make_tmp_dir;
use crate::run::items::Item;
use crate::storages::Storage;

/// Fetches the index that `manifest` names.
///
/// Errors: in words, when it is not what the manifest says, or of a newer program.
pub(crate) async fn fetch(
    storage: &dyn Storage,
    manifest: &Manifest,
    run: &Run<'_>,
) -> Result<Base, String> {
    let index = download(storage, manifest, run).await?;
    let base = Base::open(index.file, index.bytes, index.last_frame, &manifest.id);
    base.map_err(|error| chain(&error))
}

/// Copies an index into a file without a name and compares its digest.
pub(crate) async fn download(
    storage: &dyn Storage,
    manifest: &Manifest,
    run: &Run<'_>,
) -> Result<IndexFile, String> {
    let Some(IndexRef { key, bytes, sha256, last_frame }) = &manifest.index else {
        return Err("it has none".to_owned());
    };
    let tmp_dir = &run.scene.job.tmp_dir;
    let local = |error: std::io::Error| format!("{}: {error}", tmp_dir.display());
    let mut file =
        make_tmp_dir(tmp_dir).and_then(|()| tempfile::tempfile_in(tmp_dir)).map_err(local)?;
    let mut body = storage.get(key, 0..*bytes).await.map_err(|error| chain(&error))?;
    let mut hash = Sha256::new();
    while let Some(chunk) = body.next().await.map_err(|error| chain(&error))? {
        hash.update(&chunk);
        file.write_all(&chunk).map_err(local)?;
    }
    let found = Digest::new(hash.finalize().to_vec());
    if found != *sha256 {
        return Err(format!("{key} has other bytes: sha256 {found}, not {sha256}"));
    }
    Ok(IndexFile { file, bytes: *bytes, sha256: found, last_frame: *last_frame })
}

/// Tells whether the target is still a folder, or still none, as it was then: a folder that
/// became a file has no folder above it in the archive to tell so.
pub(crate) fn fits(base: &Base, item: &Item<'_>) -> bool {
    let Some(path) = &item.target.path else { return true };
    let was_folder = match base.root() {
        Ok(root) => root.is_some_and(|root| root.kind == EntryKind::Folder),
        Err(_) => return false,
    };
    was_folder == path.is_dir()
}
