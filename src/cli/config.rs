//! `config show JOB` and `config schema`.

use crate::cli::args::{ConfigVerb, ConfigWhat, Globals};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::config;

/// Prints the view that was asked for.
pub(crate) fn run(globals: &Globals, verb: &ConfigVerb) -> Result<u8, Failure> {
    match &verb.what {
        ConfigWhat::Schema => output::json(&config::schema()),
        ConfigWhat::Show { job } => {
            let config = config::load(&globals.config)?;
            let shown = config::show(&config, job)?;
            match globals.json {
                true => output::json(&shown),
                false => {
                    let mut table = output::table(&["key", "value", "from"]);
                    for line in &shown {
                        table.add_row([&line.path, &line.value, &line.origin]);
                    }
                    output::print(&table);
                }
            }
        }
    }
    Ok(0)
}
