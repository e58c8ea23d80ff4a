//! The words of the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Backs up files and databases to every storage you have, and brings them back.
#[derive(Debug, Parser)]
#[command(name = "nxs-backup", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// Check the config, as `check` does.
    #[arg(short = 't', long = "test")]
    pub(crate) test: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Args {
    /// Tells whether what the verb prints is all that it does.
    pub(crate) fn only_tells(&self) -> bool {
        match &self.command {
            _ if self.test || self.globals.dry_run => true,
            Some(Command::Restore(restore)) => restore.explain,
            Some(Command::Start(_) | Command::Prune(_) | Command::Sweep(_)) => false,
            Some(Command::Pin(_) | Command::Unpin(_)) => false,
            Some(Command::Report(report)) => !report.send,
            _ => true,
        }
    }
}

/// Options of every verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Globals {
    /// The main config file.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "NXS_BACKUP_CONFIG",
        default_value = "/etc/nxs-backup/nxs-backup.conf"
    )]
    pub(crate) config: PathBuf,
    /// Change nothing: say what would be done.
    #[arg(short = 'n', long, global = true)]
    pub(crate) dry_run: bool,
    /// Say more; twice for still more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

impl Globals {
    /// Returns the same options once more.
    pub(crate) fn shallow(&self) -> Self {
        Self { config: self.config.clone(), ..*self }
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Makes the choice hold for everything that is printed.
    pub(crate) fn write_global(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make backups now.
    Start(Start),
    /// Show what `start` would do: what would be stored where, what would be removed and why.
    Plan(Jobs),
    /// Check the config; `check storage NAME` tries a storage for real.
    Check(Check),
    /// Write a commented job to fill in; `generate main` writes a main config.
    Generate(Generate),
    /// Show the config as the program understands it.
    Config(ConfigVerb),
    /// List the backups that exist.
    List(List),
    /// Show everything about one backup.
    Show(OneId),
    /// Find files inside the backups.
    Find(Find),
    /// Bring back what was backed up.
    Restore(Restore),
    /// Check that backups are whole.
    Verify(Verify),
    /// Remove what rotation would remove; with --dry-run, explain it.
    Prune(Prune),
    /// Keep a backup whatever rotation says.
    Pin(OneId),
    /// Let rotation have a backup again.
    Unpin(OneId),
    /// Show and remove what dead runs left behind.
    Sweep(Sweep),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page; with --to, write the pages of all verbs.
    Man {
        /// The folder that gets the pages.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Show which reports wait to be sent, or send them.
    Report(Report),
}

/// What to write.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Generate {
    /// The type of its source, such as `desc_files`.
    #[arg(short = 'T', long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Its storages, such as `s3 scp`; `local` without.
    #[arg(short = 'S', long = "storage", visible_alias = "storages", value_name = "KIND", num_args = 1..)]
    pub(crate) storages: Vec<String>,
    #[command(flatten)]
    pub(crate) goal: GenerateGoal,
    #[command(subcommand)]
    pub(crate) what: Option<GenerateWhat>,
}

/// Where it goes.
#[derive(Debug, clap::Args)]
pub(crate) struct GenerateGoal {
    /// The new file, mode 0600; standard output without.
    #[arg(short = 'P', long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
    /// Replace a file that exists.
    #[arg(long, requires = "path")]
    pub(crate) force: bool,
}

/// What else than a job.
#[derive(Debug, Subcommand)]
pub(crate) enum GenerateWhat {
    /// The main config, which includes all of `conf.d`.
    Main(GenerateGoal),
}

/// Which jobs.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Jobs {
    /// `all`, `files`, `databases`, `external`, or names of jobs.
    #[arg(value_name = "all|GROUP|JOB")]
    pub(crate) jobs: Vec<String>,
}

/// What to back up, and how.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    /// Increments read every file and compare digests, whatever times say.
    #[arg(long)]
    pub(crate) force_read: bool,
}

/// What to check.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Check {
    /// Also reach every storage of the config: put, get, list and delete one small object.
    #[arg(long)]
    pub(crate) connect: bool,
    /// Also send a test message to everybody who is told of runs.
    #[arg(long)]
    pub(crate) notify: bool,
    #[command(subcommand)]
    pub(crate) what: Option<CheckWhat>,
}

/// One thing to check.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckWhat {
    /// Try a storage: put, get, list and delete small objects, and clean up.
    Storage {
        /// The storage's name; `JOB/NAME` where several jobs have one of this name.
        name: String,
    },
}

/// What to show of the config.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigVerb {
    #[command(subcommand)]
    pub(crate) what: ConfigWhat,
}

/// One view of the config.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigWhat {
    /// The resolved job, with the file and line that gave each value.
    Show {
        /// The job's name.
        job: String,
    },
    /// A JSON Schema of the config files, for editors.
    Schema,
}

/// What to list.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Only targets that match.
    #[arg(long, value_name = "GLOB")]
    pub(crate) target: Option<String>,
    /// Only what `restore --at` would bring back.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

/// Where to look.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ScopeArgs {
    /// Only this storage.
    #[arg(long, value_name = "NAME")]
    pub(crate) storage: Option<String>,
    /// Backups of another server in the same storages.
    #[arg(long, value_name = "SERVER")]
    pub(crate) host: Option<String>,
}

/// One backup.
#[derive(Debug, clap::Args)]
pub(crate) struct OneId {
    /// Its id, as `list` shows it; the beginning is enough where it is the only one.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// What to find.
#[derive(Debug, clap::Args)]
pub(crate) struct Find {
    /// A path or a glob; without a `/` it is looked for in every folder.
    pub(crate) glob: String,
    /// Only in these jobs.
    #[arg(long = "job", value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// What to restore, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    /// The folder that gets the files, made if missing; `-` for standard output.
    #[arg(long, value_name = "DIR|-", required_unless_present = "into")]
    pub(crate) to: Option<String>,
    /// Load a dump into the server that it came from, as the database NAME: made if missing,
    /// replaced if it is there, after it was dumped to a file.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "paths", "strip", "overwrite", "explain"])]
    pub(crate) into: Option<String>,
    /// With --into: load into the server that this job of the config reads.
    #[arg(long, value_name = "JOB", requires = "into")]
    pub(crate) connect: Option<String>,
    /// With --into: the folder for a dump of what is replaced; by default `before-restore` in
    /// `main.state_dir`.
    #[arg(long, value_name = "DIR", requires = "into")]
    pub(crate) rescue: Option<std::path::PathBuf>,
    /// With --into: do not dump what is replaced.
    #[arg(long, requires = "into", conflicts_with = "rescue")]
    pub(crate) no_rescue: bool,
    /// Only targets that match.
    #[arg(long, value_name = "GLOB")]
    pub(crate) target: Option<String>,
    /// The newest backup not after this moment: `2026-11-20`, `2026-11-20 03:00`, `yesterday`,
    /// `3 days ago`.
    #[arg(long, value_name = "TIME", conflicts_with = "id")]
    pub(crate) at: Option<String>,
    /// Exactly this backup.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Only these files and folders; reads no more of the artefact than needed.
    #[arg(long = "path", value_name = "GLOB")]
    pub(crate) paths: Vec<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Leave the target's own path away: only what lies below it.
    #[arg(long)]
    pub(crate) strip: bool,
    /// Restore into a folder that is not empty, replacing what is in the way.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print the commands that do the same with standard tools, and do nothing.
    #[arg(long)]
    pub(crate) explain: bool,
}

/// What to verify.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Objects and sizes only (the default).
    #[arg(long)]
    pub(crate) quick: bool,
    /// Read everything and compare all digests.
    #[arg(long, conflicts_with = "quick")]
    pub(crate) full: bool,
    /// Only this share of the backups, chosen at random: `10%`.
    #[arg(long, value_name = "P%")]
    pub(crate) sample: Option<String>,
}

/// What to prune.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    /// Only this storage.
    #[arg(long, value_name = "NAME")]
    pub(crate) storage: Option<String>,
    /// Also copies of jobs and targets that are no longer there, and of levels switched off.
    #[arg(long)]
    pub(crate) orphans: bool,
}

/// How to sweep.
#[derive(Debug, clap::Args)]
pub(crate) struct Sweep {
    #[command(flatten)]
    pub(crate) jobs: Jobs,
    /// Remove what was shown without asking.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to do with reports that wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    /// Send them now: digests whatever the hour, and what could not be sent before.
    #[arg(long)]
    pub(crate) send: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    all that was asked was done
  1    failed: nothing of what was asked was achieved
  2    wrong usage or config
  3    something was achieved and something failed
  4    another run holds the lock
  130  interrupted";
