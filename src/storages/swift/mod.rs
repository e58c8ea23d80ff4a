//! A container of an OpenStack Swift service.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Wrong;
use crate::storages::{Section, Setting, Storage};

/// The keys of a `swift` storage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that holds the backups.
    #[serde(default)]
    pub backup_dir: String,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        Vec::new()
    }

    fn location(&self) -> String {
        self.backup_dir.clone()
    }

    fn address(&self) -> Vec<String> {
        vec![self.location()]
    }

    fn largest_object(&self, _setting: &Setting<'_>) -> Option<u64> {
        None
    }

    fn connect(&self, _setting: &Setting<'_>) -> Arc<dyn Storage> {
        unimplemented!()
    }
}
