//! The command line: one file a verb. Only this room prints, and only it knows exit codes.

mod args;
mod check;
mod config;
mod failure;
mod find;
mod into;
mod list;
mod log;
mod output;
mod pin;
mod plan;
mod progress;
mod prune;
mod restore;
mod setup;
mod show;
mod start;
mod sweep;
mod verify;
mod when;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

/// Parses the command line, does what it says and returns the exit code.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    args.globals.color.write_global();
    let done = run(args);
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.exit)
        }
    }
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
        Command::List(verb) => list::run(&globals, &verb),
        Command::Show(verb) => show::run(&globals, &verb),
        Command::Find(verb) => find::run(&globals, &verb),
        Command::Restore(verb) => restore::run(&globals, &verb),
        Command::Verify(verb) => verify::run(&globals, &verb),
        Command::Prune(verb) => prune::run(&globals, &verb),
        Command::Pin(verb) => pin::run(&globals, &verb, true),
        Command::Unpin(verb) => pin::run(&globals, &verb, false),
        Command::Sweep(verb) => sweep::run(&globals, &verb),
    }
}
