//! Which jobs a command means: `all`, a group, or names.

use crate::plan::{Entry, Group, Plan};

/// The jobs that a command means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Files, databases, external, in this order.
    All,
    /// Everything in these groups and with these names, in config order within each word.
    Words(Vec<Word>),
}

/// One word of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A reserved word.
    Group(Group),
    /// A job's name.
    Job(String),
}

/// A word that is no job and no group.
#[derive(Debug, thiserror::Error)]
#[error("there is no job {name:?}; the config has {known}")]
pub struct NoSuchJob {
    name: String,
    known: String,
}

impl Selection {
    /// Reads words as `start` takes them; none means all.
    ///
    /// Errors: [`NoSuchJob`] for the first word that is neither a group nor a job of `plan`.
    pub fn parse(words: &[String], plan: &Plan) -> Result<Self, NoSuchJob> {
        if words.is_empty() || words.iter().any(|word| word == "all") {
            return Ok(Self::All);
        }
        let word = |word: &String| match Group::from_name(word) {
            Some(group) => Ok(Word::Group(group)),
            None if plan.jobs.iter().any(|entry| entry.name() == word) => {
                Ok(Word::Job(word.clone()))
            }
            None => Err(NoSuchJob { name: word.clone(), known: known(plan) }),
        };
        words.iter().map(word).collect::<Result<_, _>>().map(Self::Words)
    }

    /// Returns the entries meant, each once, in the order in which they run.
    pub fn entries<'a>(&self, plan: &'a Plan) -> Vec<&'a Entry> {
        let mut jobs: Vec<&Entry> = Vec::new();
        let mut add = |wanted: &dyn Fn(&Entry) -> bool| {
            for entry in plan.jobs.iter().filter(|entry| wanted(entry)) {
                if !jobs.iter().any(|job| std::ptr::eq(*job, entry)) {
                    jobs.push(entry);
                }
            }
        };
        match self {
            Self::All => {
                Group::ALL.iter().for_each(|group| add(&|entry| entry.group() == Some(*group)));
                add(&|_| true);
            }
            Self::Words(words) => words.iter().for_each(|word| match word {
                Word::Group(group) => add(&|entry| entry.group() == Some(*group)),
                Word::Job(name) => add(&|entry| entry.name() == name),
            }),
        }
        jobs
    }

    /// Tells whether a job of this name and group is meant.
    pub fn means(&self, name: &str, group: Option<Group>) -> bool {
        match self {
            Self::All => true,
            Self::Words(words) => words.iter().any(|word| match word {
                Word::Group(wanted) => group == Some(*wanted),
                Word::Job(wanted) => name == wanted,
            }),
        }
    }
}

fn known(plan: &Plan) -> String {
    let names: Vec<String> = plan.jobs.iter().map(|entry| format!("{:?}", entry.name())).collect();
    match names.is_empty() {
        true => "no jobs".into(),
        false => format!("{} and the groups files, databases, external, all", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Broken;

    fn plan(jobs: &[(&str, Option<Group>)]) -> Plan {
        let entry = |(name, group): &(&str, Option<Group>)| {
            Entry::Broken(Broken {
                name: (*name).into(),
                kind: "x".into(),
                group: *group,
                enabled: true,
                problems: vec![],
                tools: vec![],
            })
        };
        Plan {
            main: crate::plan::Main::for_tests(),
            jobs: jobs.iter().map(entry).collect(),
            secret_env: Default::default(),
        }
    }

    fn names(plan: &Plan, words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let selection = Selection::parse(&words, plan).unwrap();
        selection.entries(plan).iter().map(|entry| entry.name().to_owned()).collect()
    }

    #[test]
    fn all_is_files_then_databases_then_external_then_the_unknown() {
        let plan = plan(&[
            ("e", Some(Group::External)),
            ("?", None),
            ("d", Some(Group::Databases)),
            ("f", Some(Group::Files)),
        ]);
        assert_eq!(names(&plan, &[]), ["f", "d", "e", "?"]);
        assert_eq!(names(&plan, &["all"]), ["f", "d", "e", "?"]);
        assert_eq!(names(&plan, &["external", "f", "files"]), ["e", "f"]);
    }

    #[test]
    fn an_unknown_word_is_told_with_what_there_is() {
        let plan = plan(&[("site", Some(Group::Files))]);
        let error = Selection::parse(&["sit".into()], &plan).unwrap_err();
        assert!(error.to_string().contains("\"site\""), "{error}");
    }
}
