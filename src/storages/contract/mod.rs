//! What every storage and every layer promises, as a list that can be run.
//!
//! Tests run the full form; `check storage NAME` runs the small one on the user's own storage.

mod at;
mod faults;
mod names;
mod objects;
mod races;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};

use crate::base::{chain, display};
use crate::storages::{Object, Storage};

pub use at::At;

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// At most 20 objects and 32 MiB, for a storage that costs money.
    Small,
    /// Everything, for tests.
    Full,
}

/// One thing that a storage promises.
pub struct Promise {
    /// What is promised, as a sentence.
    pub name: &'static str,
    run: for<'a> fn(&'a At<'a>) -> BoxFuture<'a, Kept>,
}

/// Whether a promise was kept, and how it was broken.
pub type Kept = Result<(), String>;

impl Promise {
    /// Tries the promise on objects below `folder`, which ends with a slash.
    pub async fn run(&self, storage: &dyn Storage, folder: &str, size: Size) -> Kept {
        (self.run)(&At::new(storage, folder, size)).await
    }
}

/// Names the promises of a size, in the order in which they build on each other.
pub fn promises(size: Size) -> Vec<Promise> {
    let mut all = vec![
        promise("an object comes back as it was put", |at| Box::pin(objects::come_back(at))),
        promise("a range gives exactly its bytes", |at| Box::pin(objects::ranges(at))),
        promise("what is not there is an error for get and nothing for stat", |at| {
            Box::pin(objects::nothing(at))
        }),
        promise("a put replaces the whole object", |at| Box::pin(objects::replace(at))),
        promise("a delete removes one object, and of nothing succeeds", |at| {
            Box::pin(objects::delete(at))
        }),
        promise("a list gives what begins with its prefix, and nothing else", |at| {
            Box::pin(names::prefixes(at))
        }),
        promise("odd names are kept as they are", |at| Box::pin(names::odd(at))),
        promise("a body that fails leaves nothing new", |at| Box::pin(faults::failed_body(at))),
        promise("a body that is cut leaves nothing new", |at| Box::pin(faults::cut_body(at))),
        promise("a put that is given up leaves nothing new", |at| Box::pin(faults::given_up(at))),
        promise("puts at the same time do not disturb each other", |at| Box::pin(races::puts(at))),
        promise("of puts of one key at the same time one wins whole", |at| {
            Box::pin(races::one_key(at))
        }),
        promise("a reader sees the old object or the new one", |at| {
            Box::pin(races::old_or_new(at))
        }),
    ];
    if size == Size::Full {
        all.push(promise("many objects are all listed", |at| Box::pin(names::many(at))));
        all.push(promise("a large object comes back", |at| Box::pin(objects::large(at))));
    }
    all
}

fn promise(name: &'static str, run: for<'a> fn(&'a At<'a>) -> BoxFuture<'a, Kept>) -> Promise {
    Promise { name, run }
}

/// Tries every promise on objects below `probe` and removes them again.
///
/// `probe` should be a name that nobody uses, such as `.nxs-probe-<run id>`, without a slash at
/// its end. The last entry tells about the cleaning up and names what stays.
pub async fn check(storage: &dyn Storage, probe: &str, size: Size) -> Vec<(&'static str, Kept)> {
    let mut kept = Vec::new();
    for (number, promise) in promises(size).into_iter().enumerate() {
        let folder = format!("{probe}/{number:02}/");
        kept.push((promise.name, promise.run(storage, &folder, size).await));
    }
    kept.push(("what was tried can be removed again", clean_up(storage, probe).await));
    kept
}

async fn clean_up(storage: &dyn Storage, probe: &str) -> Kept {
    let prefix = format!("{probe}/");
    let found: Vec<Object> =
        storage.list(&prefix).try_collect().await.map_err(|error| {
            format!("{}; objects below {} may stay", chain(&error), display(probe))
        })?;
    let mut stay = Vec::new();
    let mut problem = String::new();
    for object in found {
        if let Err(error) = storage.delete(&object.key).await {
            problem = chain(&error);
            stay.push(display(object.key.as_str()));
        }
    }
    if stay.is_empty() {
        return match storage.list(&prefix).next().await {
            None => Ok(()),
            Some(Ok(object)) => Err(format!("{} was deleted and is still listed", object.key)),
            Some(Err(error)) => Err(chain(&error)),
        };
    }
    Err(format!("{problem}; these stay: {}", stay.join(", ")))
}

/// Tries every promise in full, for tests.
///
/// Panics: with the names of the promises that were broken, and how.
pub async fn keeps_every_promise(storage: &dyn Storage) {
    let kept = check(storage, ".nxs-probe-test", Size::Full).await;
    let broken: Vec<_> =
        kept.into_iter().filter_map(|(name, kept)| Some((name, kept.err()?))).collect();
    assert!(broken.is_empty(), "broken promises: {broken:#?}");
}
