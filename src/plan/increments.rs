//! How the copies of a job build on one another, from its keys.

use crate::base::Plugin;
use crate::config::{Draft, Incremental, Problem, raw};
use crate::plan::Increments;
use crate::retention::Scheme;

/// Tells whether copies of a job of this kind with these keys build on one another.
pub(crate) fn are_meant(kind: Option<&Plugin>, keys: &raw::Job) -> bool {
    kind.is_some_and(|kind| kind.in_chains || (kind.may_chain && keys.incremental.is_some()))
}

/// Resolves the keys of increments; keys of other kinds of jobs are problems of the draft.
pub(crate) fn resolve(keys: &raw::Job, draft: &mut Draft) -> Option<Increments> {
    let set = [
        ("incremental", keys.incremental.is_some()),
        ("inc_months_to_store", keys.inc_months_to_store.is_some()),
        ("keep_chains", keys.keep_chains.is_some()),
        ("keep_chain_days", keys.keep_chain_days.is_some()),
    ];
    let set = |key: &&&str| set.iter().any(|(known, is_set)| *known == **key && *is_set);
    if !are_meant(draft.kind(), keys) {
        let may_chain = draft.kind().is_some_and(|kind| kind.may_chain);
        for key in ALL.iter().filter(&set) {
            let kind = draft.type_word().unwrap_or_default();
            let (why, hint) = match may_chain {
                true => ("the job has no `incremental`".to_owned(), "add `incremental`"),
                false => (format!("copies of `{kind}` stand alone"), "use `type: inc_files`"),
            };
            let message = format!("`{key}` is for increments; {why}");
            let problem = Problem::error(draft.node.mark_of(key), &draft.path, message);
            draft.problems.push(problem.with_hint(format!("remove it, or {hint}")));
        }
        return None;
    }
    let (scheme, others) = match keys.incremental.unwrap_or(Incremental::Calendar) {
        Incremental::Calendar => (Scheme::Calendar, &ALL[2..]),
        Incremental::Levels(levels) => {
            let (last, stays) = levels.last().ok()?;
            (Scheme::Levels { last, stays, restart_days: levels.restart_days }, &ALL[1..2])
        }
    };
    for key in others.iter().filter(&set) {
        let message = format!("`{key}` has no effect with this `incremental`");
        draft.problems.push(Problem::note(draft.node.mark_of(key), &draft.path, message));
    }
    let days = keys.keep_chain_days.or(keys.keep_chains.is_none().then_some(CHAIN_DAYS));
    Some(Increments {
        scheme,
        months: match keys.inc_months_to_store {
            // 2.x removed the month of the same name of the year before.
            None | Some(12) => 11,
            Some(months) => months,
        },
        keep_chains: keys.keep_chains,
        keep_chain_days: days,
        force_read: false,
    })
}

const ALL: [&str; 4] = ["incremental", "inc_months_to_store", "keep_chains", "keep_chain_days"];
const CHAIN_DAYS: u32 = 365;
