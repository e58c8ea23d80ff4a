//! What a kind of source or storage says of itself to the config: its words, its schema, and what
//! is wrong with a section beyond the types of its values.

use schemars::{Schema, SchemaGenerator};

use crate::base::Group;

/// What stands for a value that lies elsewhere and was not fetched: an absolute path, so that it
/// passes wherever text does.
pub const PENDING: &str = "/not-fetched";

/// A kind of job, storage or notifier that the config can name.
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// Its name everywhere.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// The group that jobs of it run in; `None` for what is no job.
    pub group: Option<Group>,
    /// Its keys stand on the job itself, which has no `sources`.
    pub on_job: bool,
    /// Its copies build on one another.
    pub in_chains: bool,
    /// Its copies build on one another where the job has `incremental`.
    pub may_chain: bool,
    /// Describes its keys.
    pub schema: MakeSchema,
    /// Its keys as commented YAML, for `generate`: blanks to fill in are `''` with a comment
    /// `# fill in, such as VALUE`.
    pub sample: &'static str,
}

/// Makes the schema of a struct: its `json_schema`.
pub type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

impl Plugin {
    /// Describes a kind of storage.
    pub const fn storage(
        name: &'static str,
        aliases: &'static [&'static str],
        schema: MakeSchema,
    ) -> Self {
        Self::new(name, aliases, schema)
    }

    /// Describes a kind of notifier.
    pub const fn notifier(
        name: &'static str,
        aliases: &'static [&'static str],
        schema: MakeSchema,
    ) -> Self {
        Self::storage(name, aliases, schema)
    }

    /// Describes a kind of source.
    pub const fn source(
        name: &'static str,
        aliases: &'static [&'static str],
        group: Group,
        schema: MakeSchema,
    ) -> Self {
        Self { group: Some(group), ..Self::new(name, aliases, schema) }
    }

    /// Says that its keys stand on the job itself, which has no `sources`.
    #[must_use]
    pub const fn on_job(mut self) -> Self {
        self.on_job = true;
        self
    }

    /// Says that its copies build on one another.
    #[must_use]
    pub const fn in_chains(mut self) -> Self {
        self.in_chains = true;
        self
    }

    /// Says that its copies build on one another where the job has `incremental`.
    #[must_use]
    pub const fn may_chain(mut self) -> Self {
        self.may_chain = true;
        self
    }

    /// Gives its keys as commented YAML.
    #[must_use]
    pub const fn sample(mut self, yaml: &'static str) -> Self {
        self.sample = yaml;
        self
    }

    const fn new(name: &'static str, aliases: &'static [&'static str], schema: MakeSchema) -> Self {
        let (group, on_job, in_chains, may_chain) = (None, false, false, false);
        Self { name, aliases, group, on_job, in_chains, may_chain, schema, sample: "" }
    }

    /// Tells whether `word` names it.
    pub fn is_called(&self, word: &str) -> bool {
        self.words().any(|known| known == word)
    }

    /// Returns its name and then its other spellings.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// What is wrong with a section of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The key to blame: `backup_dir`, `connect.db_port`, `target[1]`.
    pub key: String,
    /// What is wrong: lower case, no final period, subject first.
    pub message: String,
}

impl Wrong {
    /// Blames `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}
