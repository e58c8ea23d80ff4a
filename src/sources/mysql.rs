//! `mysql`: databases of MariaDB and MySQL servers, each as one SQL dump.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Wrong;
use crate::sources::tool::Tool;
use crate::sources::{Result, Section, Setting, Source};

/// A source of `mysql`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        unimplemented!()
    }

    fn address(&self) -> Option<String> {
        unimplemented!()
    }

    fn tools(&self) -> Vec<Tool> {
        unimplemented!()
    }

    fn wanted(&self) -> Vec<String> {
        unimplemented!()
    }

    fn connect(&self, _setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        unimplemented!()
    }
}
