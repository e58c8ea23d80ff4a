//! `completions` and `man`: what shells and people read of the command line, from its own words.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::args::Args;
use crate::cli::failure::{Failure, NOTHING};
use crate::cli::output;

/// Prints completions for `shell`.
pub(crate) fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), NAME, &mut text);
    output::line(String::from_utf8_lossy(&text).trim_end());
    Ok(0)
}

/// Prints the manual page of the program, or writes one for each verb into `folder`.
pub(crate) fn pages(folder: Option<&Path>) -> Result<u8, Failure> {
    let Some(folder) = folder else {
        let page = rendered(command()).map_err(|error| Failure::nothing(&error))?;
        output::line(String::from_utf8_lossy(&page).trim_end());
        return Ok(0);
    };
    let wrong = |error: std::io::Error| {
        Failure::new(NOTHING, format!("{}: {error}", folder.display()))
            .hint("Give a folder that may be written, or one whose parent may.")
    };
    fs::create_dir_all(folder).map_err(wrong)?;
    let mut whole = command();
    whole.build();
    let verbs = whole.get_subcommands().filter(|verb| verb.get_name() != "help");
    let pages = verbs.map(|verb| {
        let name = format!("{NAME}-{}", verb.get_name());
        (name, verb.clone().version(env!("CARGO_PKG_VERSION")))
    });
    for (name, page) in pages.chain([(NAME.to_owned(), command())]) {
        let path = folder.join(format!("{name}.1"));
        rendered(page).and_then(|page| fs::write(path, page)).map_err(wrong)?;
    }
    Ok(0)
}

/// The command line without what is only so on this machine: the value of a variable.
fn command() -> clap::Command {
    Args::command().mut_args(|arg| arg.hide_env_values(true))
}

fn rendered(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

const NAME: &str = "nxs-backup";
