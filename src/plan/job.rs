//! One job of the config as one that can run, or its problems.

use std::path::PathBuf;

use crate::config::{Compress, Draft, Format, Mark, Node, Problem, Problems, Size, Source, raw};
use crate::plan::resolve::Seen;
use crate::plan::{Group, Job, JobSource, Place, Require, Verify, connect, place};
use crate::stream::{Codec, Compression};

/// What jobs take from `main`.
#[derive(Clone, Copy)]
pub(crate) struct Common {
    /// The limit of every storage that has none of its own.
    pub(crate) net: Option<Size>,
}

/// Resolves a draft; what is wrong is in its problems then.
pub(crate) fn resolve(
    draft: &mut Draft,
    group: Option<Group>,
    common: Common,
    seen: &mut Seen,
) -> Option<Job> {
    let read = draft.read();
    let sources: Vec<Option<JobSource>> =
        read.sources.iter().map(|one| source(one, read.keys.as_ref(), draft)).collect();
    let places = match &read.keys {
        Some(keys) => places(&read.storages, keys, common, draft),
        None => Vec::new(),
    };
    let keys = read.keys?;
    let enabled = keys.enable.unwrap_or(true);
    let all_off = !read.storages.is_empty() && places.is_empty();
    if enabled && all_off && !draft.problems.has_errors() {
        let message = "the job would store nothing: every storage of it is off";
        let problem = Problem::error(draft.node.mark_of("storages"), &draft.path, message);
        draft.problems.push(problem.with_hint("if that is meant, say `enable: no` on the job"));
    }
    if keys.split.is_some_and(|split| split.0 < SMALLEST_SPLIT) {
        let message = "`split` is smaller than 1KiB: give it a unit, such as 5G";
        draft.problems.push(Problem::error(draft.node.mark_of("split"), &draft.path, message));
    }
    if keys.tmp_dir.as_ref().is_some_and(|path| !path.is_absolute()) {
        let message = "`tmp_dir` must be an absolute path";
        draft.problems.push(Problem::error(draft.node.mark_of("tmp_dir"), &draft.path, message));
    }
    if !draft.problems.has_errors() {
        note_shared_folders(&keys.job, &read.sources, &places, seen, &mut draft.problems);
    }
    Some(Job {
        name: keys.job,
        kind: draft.kind()?.name,
        group: group?,
        enabled,
        formerly: keys.formerly,
        sources: sources.into_iter().collect::<Option<Vec<_>>>()?,
        places,
        verify: keys.verify.map_or(Verify::default(), verify),
        split: keys.split.map(|split| split.0),
        require: keys.require.map_or(Require::default(), require),
        timeout: keys.job_timeout.map(|span| span.0).filter(|timeout| !timeout.is_zero()),
        tmp_dir: keys.tmp_dir.unwrap_or_else(|| PathBuf::from(TMP_DIR)),
        tags: keys.tags,
        notes: Vec::new(),
    })
}

fn source(one: &Source, keys: Option<&raw::Job>, draft: &mut Draft) -> Option<JobSource> {
    let (node, path) = (&one.node, &one.path);
    let globs: Vec<String> = one.files.target.iter().chain(&one.files.targets).cloned().collect();
    let mut say = |key: &str, message: String| {
        draft.problems.push(Problem::error(node.mark_of(key), path, message));
    };
    if globs.is_empty() {
        say("target", "`target` is missing: the source names no path".to_owned());
        return None;
    }
    let key = if node.get("target").is_some() { "target" } else { "targets" };
    let name = one.common.name.clone();
    let relative: Vec<_> = globs.iter().filter(|glob| !glob.starts_with('/')).collect();
    if !relative.is_empty() {
        for glob in relative {
            let message = format!("`{glob}` must be an absolute path");
            draft.problems.push(Problem::error(mark_of_item(node, glob), path, message));
        }
        return None;
    }
    match connect::files(name.as_deref(), globs, one.files.excludes.clone()) {
        Ok(source) => Some(JobSource { name, source, compression: compression(&one.common, keys) }),
        Err(error) => {
            say(key, crate::base::chain(&error));
            None
        }
    }
}

/// Returns where a pattern of a source stands.
fn mark_of_item<'a>(node: &'a Node, glob: &str) -> &'a Mark {
    let mut found = None;
    for key in ["target", "targets"] {
        let mut visit = |item: &'a Node| {
            if item.text() == Some(glob) {
                found = Some(&item.mark);
            }
        };
        node.get(key).into_iter().for_each(|value| value.walk(&mut visit));
    }
    found.unwrap_or(node.first_mark())
}

/// `compress` wins over any `gzip`; what the source says wins over what the job says.
fn compression(source: &raw::Source, job: Option<&raw::Job>) -> Compression {
    let compress = source.compress.or(job.and_then(|job| job.compress));
    let gzip = source.gzip.or(job.and_then(|job| job.gzip));
    match (compress, gzip) {
        (Some(Compress { format, level }), _) => {
            let usual = codec(format).by_default();
            Compression { level: level.unwrap_or(usual.level), ..usual }
        }
        (None, Some(true)) => Codec::Gzip.by_default(),
        (None, _) => Codec::None.by_default(),
    }
}

fn places(
    storages: &[crate::config::Storage],
    keys: &raw::Job,
    common: Common,
    draft: &mut Draft,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for storage in storages {
        let mut problems = Problems::default();
        let above = place::Above { keys, node: &draft.node, path: &draft.path, net: common.net };
        let resolved = place::resolve(storage, &above, &places, &mut problems);
        draft.problems.extend(problems);
        places.extend(resolved);
    }
    places
}

/// Two sources that store the same pattern in the same folder would fail when they meet.
fn note_shared_folders(
    job: &str,
    sources: &[Source],
    places: &[Place],
    seen: &mut Seen,
    problems: &mut Problems,
) {
    for source in sources {
        for glob in source.files.target.iter().chain(&source.files.targets) {
            for place in places {
                let name = source.common.name.clone();
                let key = (place.fingerprint.clone(), name, glob.clone());
                let us = (job.to_owned(), source.path.clone());
                let (other, path) = seen.folders.entry(key).or_insert_with(|| us);
                if *path != source.path {
                    let message = format!(
                        "`{glob}` goes to the same folder of {} as in job `{other}` ({path}): \
                         give one of the two sources a `name`",
                        place.location
                    );
                    problems.push(Problem::note(source.node.first_mark(), &source.path, message));
                }
            }
        }
    }
}

fn codec(format: Format) -> Codec {
    match format {
        Format::None => Codec::None,
        Format::Gzip => Codec::Gzip,
        Format::Zstd => Codec::Zstd,
    }
}

fn verify(verify: raw::Verify) -> Verify {
    match verify {
        raw::Verify::None => Verify::None,
        raw::Verify::List => Verify::List,
        raw::Verify::Full => Verify::Full,
    }
}

fn require(require: raw::Require) -> Require {
    match require {
        raw::Require::All => Require::All,
        raw::Require::Any => Require::Any,
    }
}

const TMP_DIR: &str = "/var/tmp";
const SMALLEST_SPLIT: u64 = 1 << 10;
