//! One job of the config as one that can run, or its problems.

use std::collections::BTreeSet;
use std::path::Path;

use crate::base::chain;
use crate::config::{self, Compress, Draft, Format, Problem, Problems, Size, Source, raw};
use crate::plan::resolve::Seen;
use crate::plan::{Group, Job, JobSource, Place, Require, Verify, place};
use crate::sources::Setting;
use crate::stream::{Codec, Compression};

/// What jobs take from `main`.
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    /// The limit of every storage that has none of its own.
    pub(crate) net: Option<Size>,
    /// Environment variables that secrets came from.
    pub(crate) secret_env: &'a BTreeSet<String>,
}

/// Resolves a draft; what is wrong is in its problems then.
pub(crate) fn resolve(
    draft: &mut Draft,
    group: Option<Group>,
    common: Common<'_>,
    seen: &mut Seen,
) -> Option<Job> {
    let read = draft.read();
    let sources: Vec<Option<JobSource>> =
        read.sources.iter().map(|one| source(one, read.keys.as_ref(), common, draft)).collect();
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
        tmp_dir: tmp_dir(Some(&keys)).to_owned(),
        name: keys.job,
        kind: draft.kind()?.name,
        group: group?,
        enabled,
        formerly: keys.formerly,
        sources: sources.into_iter().collect::<Option<Vec<_>>>()?,
        places,
        verify: keys.verify.map_or(Verify::default(), verify),
        split: keys.split.map(|split| split.0),
        spool: keys.spool.unwrap_or(false),
        require: keys.require.map_or(Require::default(), require),
        timeout: keys.job_timeout.map(|span| span.0).filter(|timeout| !timeout.is_zero()),
        tags: keys.tags,
        notes: Vec::new(),
    })
}

fn source(
    one: &Source,
    keys: Option<&raw::Job>,
    common: Common<'_>,
    draft: &mut Draft,
) -> Option<JobSource> {
    let section = one.config.section();
    let wrong = section.problems();
    let said = wrong.iter().filter_map(|wrong| config::blame(&one.node, &one.path, wrong));
    draft.problems.extend(said);
    if !wrong.is_empty() {
        return None;
    }
    let name = one.common.name.clone();
    let (tmp_dir, secret_env) = (tmp_dir(keys), common.secret_env);
    match section.connect(&Setting { name: name.as_deref(), tmp_dir, secret_env }) {
        Ok(source) => Some(JobSource { name, source, compression: compression(&one.common, keys) }),
        Err(error) => {
            let problem = Problem::error(one.node.first_mark(), &one.path, chain(&error));
            draft.problems.push(problem);
            None
        }
    }
}

fn tmp_dir(keys: Option<&raw::Job>) -> &Path {
    keys.and_then(|keys| keys.tmp_dir.as_deref()).unwrap_or(Path::new(TMP_DIR))
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
    common: Common<'_>,
    draft: &mut Draft,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let tmp_dir = tmp_dir(Some(keys));
    let on = |one: &&crate::config::Storage| one.common.enable != Some(false);
    for storage in storages {
        let mut problems = Problems::default();
        let peers = storages.iter().filter(on).filter(|one| one.kind.name == storage.kind.name);
        let (peers, node, path, net) = (peers.count(), &draft.node, &draft.path, common.net);
        let above = place::Above { keys, node, path, net, peers, tmp_dir };
        let resolved = place::resolve(storage, &above, &places, &mut problems);
        draft.problems.extend(problems);
        places.extend(resolved);
    }
    places
}

/// Two sources that store the same target in the same folder would fail when they meet.
fn note_shared_folders(
    job: &str,
    sources: &[Source],
    places: &[Place],
    seen: &mut Seen,
    problems: &mut Problems,
) {
    for source in sources {
        for wanted in source.config.section().wanted() {
            for place in places {
                let name = source.common.name.clone();
                let key = (place.fingerprint.clone(), name, wanted.clone());
                let us = (job.to_owned(), source.path.clone());
                let (other, path) = seen.folders.entry(key).or_insert_with(|| us);
                if *path != source.path {
                    let message = format!(
                        "`{wanted}` goes to the same folder of {} as in job `{other}` ({path}): \
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
