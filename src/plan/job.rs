//! One job of the config as one that can run, or its problems.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::base::chain;
use crate::config::{self, Compress, Draft, Format, Problem, Problems, Source, raw};
use crate::plan::resolve::Seen;
use crate::plan::{
    Group, Job, JobSource, Place, Require, Verify, hooks, increments, limits, place,
};
use crate::sources::Setting;
use crate::stream::{Codec, Compression};

/// What jobs take from `main`.
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    /// The limits of every job and storage that has none of its own.
    pub(crate) limits: limits::Common,
    /// Environment variables that secrets came from.
    pub(crate) secret_env: &'a BTreeSet<String>,
    /// Where locks, journals and memory of runs lie.
    pub(crate) state_dir: &'a Path,
}

/// Resolves a draft; what is wrong is in its problems then.
pub(crate) fn resolve(
    draft: &mut Draft,
    group: Option<Group>,
    common: Common<'_>,
    seen: &mut Seen,
) -> Option<Job> {
    let read = draft.read();
    let is_alone = read.sources.len() == 1;
    let sources = read.sources.iter();
    let sources: Vec<Option<JobSource>> =
        sources.map(|one| source(one, is_alone, read.keys.as_ref(), common, draft)).collect();
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
    let increments = increments::resolve(&keys, draft);
    if !draft.problems.has_errors() {
        note_shared_folders(&keys.job, &read.sources, &places, seen, &mut draft.problems);
    }
    let hooks = keys.hooks.as_ref().map(|hooks| hooks::resolve(hooks, &setting(&keys, common)));
    Some(Job {
        hooks: hooks.unwrap_or_default(),
        tmp_dir: tmp_dir(Some(&keys)).to_owned(),
        name: keys.job,
        kind: draft.kind()?.name,
        group: group?,
        enabled,
        formerly: keys.formerly,
        sources: sources.into_iter().collect::<Option<Vec<_>>>()?,
        places,
        verify: keys.verify.map_or(Verify::default(), verify),
        increments,
        split: keys.split.map(|split| split.0),
        spool: keys.spool.unwrap_or(false),
        parallel: keys.parallel.map_or(1, |parallel| parallel.max(1) as usize),
        require: keys.require.map_or(Require::default(), require),
        limits: common.limits.of_job(keys.limits),
        timeout: keys.job_timeout.map(|span| span.0).filter(|timeout| !timeout.is_zero()),
        tags: keys.tags,
        notes: Vec::new(),
    })
}

/// What programs of the job itself are told.
fn setting<'a>(keys: &'a raw::Job, common: Common<'a>) -> Setting<'a> {
    Setting {
        job: &keys.job,
        name: None,
        tmp_dir: tmp_dir(Some(keys)),
        state_dir: common.state_dir,
        secret_env: common.secret_env,
        silence: None,
    }
}

fn source(
    one: &Source,
    is_alone: bool,
    keys: Option<&raw::Job>,
    common: Common<'_>,
    draft: &mut Draft,
) -> Option<JobSource> {
    let section = one.config.section();
    let wrong = section.problems();
    let said = wrong.iter().filter_map(|wrong| config::blame(&one.node, &one.path, wrong));
    draft.problems.extend(said);
    let of_files = draft.kind().is_some_and(|kind| kind.group == Some(Group::Files));
    if of_files && one.common.timeout.is_some() {
        let message = "`timeout` of a source is for programs and servers: files have none";
        draft.problems.push(Problem::error(one.node.mark_of("timeout"), &one.path, message));
    }
    if !wrong.is_empty() {
        return None;
    }
    let address = section.address();
    let name = one.common.name.clone().or(address.clone());
    let own_folder = address.filter(|_| !is_alone).map(|address| address.replace(':', "_"));
    let setting = Setting {
        job: keys.map_or("", |keys| &keys.job),
        name: name.as_deref(),
        tmp_dir: tmp_dir(keys),
        state_dir: common.state_dir,
        secret_env: common.secret_env,
        silence: silence(&one.common),
    };
    match section.connect(&setting) {
        Ok(source) => Some(JobSource {
            folder: one.common.name.clone().or(own_folder),
            tools: section.tools(),
            compression: compression(&one.common, keys),
            name,
            source,
        }),
        Err(error) => {
            let problem = Problem::error(one.node.first_mark(), &one.path, chain(&error));
            draft.problems.push(problem);
            None
        }
    }
}

/// How long a program or server may give nothing.
fn silence(source: &raw::Source) -> Option<Duration> {
    let silence = source.timeout.map_or(SILENCE, |span| span.0);
    (!silence.is_zero()).then_some(silence)
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
        let (peers, node, path) = (peers.count(), &draft.node, &draft.path);
        let in_chains = increments::are_meant(draft.kind(), keys);
        let limits = common.limits;
        let above = place::Above { keys, node, path, limits, peers, tmp_dir, in_chains };
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

/// A query on a locked table waits for long; a dump that is dead must not wait for ever.
const SILENCE: Duration = Duration::from_secs(3600);
const TMP_DIR: &str = "/var/tmp";
const SMALLEST_SPLIT: u64 = 1 << 10;
