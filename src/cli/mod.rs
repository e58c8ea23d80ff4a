//! The command line: one file a verb. Only this room prints, and only it knows exit codes.

mod args;
mod check;
mod config;
mod connect;
mod failure;
mod find;
mod generate;
mod into;
mod journal;
mod list;
mod load;
mod log;
mod manual;
mod output;
mod paths;
mod pin;
mod plan;
mod progress;
mod prune;
mod report;
mod restore;
mod setup;
mod show;
mod start;
mod sweep;
mod tell;
mod tools;
mod verify;
mod when;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::{Failure, NOTHING, PARTLY, USAGE};

/// Parses the command line, does what it says and returns the exit code.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            error.print().ok();
            return ExitCode::from(USAGE);
        }
        Err(help) => {
            output::line(help.render().ansi().to_string().trim_end());
            return ExitCode::from(told(0, true));
        }
    };
    args.globals.color.write_global();
    let only_tells = args.only_tells();
    let code = run(args).unwrap_or_else(|failure| {
        failure.tell();
        failure.exit
    });
    ExitCode::from(told(code, only_tells))
}

/// Takes in whether what was to be told could be printed: whoever asked else takes half a list
/// for the whole.
fn told(code: u8, only_tells: bool) -> u8 {
    let Some(trouble) = output::trouble() else { return code };
    let exit = if only_tells { NOTHING } else { PARTLY };
    let failure = Failure::new(exit, format!("standard output could not be written: {trouble}"));
    failure.tell();
    if code == 0 { exit } else { code }
}

fn run(args: Args) -> Result<u8, Failure> {
    let globals = args.globals;
    let command = match (args.command, args.test) {
        (_, true) => Command::Check(Default::default()),
        (Some(command), false) => command,
        (None, false) => return Err(Failure::usage("no verb was given: try --help")),
    };
    match command {
        Command::Start(verb) => start::run(&globals, &verb),
        Command::Plan(verb) => plan::run(&globals, &verb.jobs),
        Command::Check(verb) => check::run(&globals, &verb),
        Command::Config(verb) => config::run(&globals, &verb),
        Command::Generate(verb) => generate::run(&verb),
        Command::List(verb) => list::run(&globals, &verb),
        Command::Show(verb) => show::run(&globals, &verb),
        Command::Find(verb) => find::run(&globals, &verb),
        Command::Restore(verb) => restore::run(&globals, &verb),
        Command::Verify(verb) => verify::run(&globals, &verb),
        Command::Prune(verb) => prune::run(&globals, &verb),
        Command::Pin(verb) => pin::run(&globals, &verb, true),
        Command::Unpin(verb) => pin::run(&globals, &verb, false),
        Command::Sweep(verb) => sweep::run(&globals, &verb),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { to } => manual::pages(to.as_deref()),
        Command::Report(verb) => report::run(&globals, &verb),
    }
}
