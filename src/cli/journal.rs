//! The journal of systemd: lines with their job and level as fields, `NXS_BACKUP_JOB=site`.

use std::io;
use std::os::fd::AsFd;

use tracing::Subscriber;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::registry::LookupSpan;

/// Makes the layer, if lines should go there: because the config says so, or else because standard
/// error leads there. The second value is why it cannot be, where the config wants it.
pub(crate) fn layer<S>(
    wanted: Option<bool>,
    level: LevelFilter,
) -> (Option<impl Layer<S>>, Option<String>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if !wanted.unwrap_or_else(stderr_leads_there) {
        return (None, None);
    }
    let layer = match tracing_journald::layer() {
        Ok(layer) => layer,
        Err(error) => return (None, wanted.is_some().then(|| error.to_string())),
    };
    let layer = layer
        .with_field_prefix(Some("NXS_BACKUP".to_owned()))
        .with_syslog_identifier("nxs-backup".to_owned())
        .with_priority_mappings(PriorityMappings {
            info: Priority::Informational,
            debug: Priority::Debug,
            ..PriorityMappings::new()
        });
    // What libraries say is not for people, as in the other logs.
    let ours = FilterFn::new(move |about| {
        *about.level() <= level
            && (about.target().starts_with("nxs_backup") || *about.level() <= tracing::Level::WARN)
    });
    (Some(layer.with_filter(ours)), None)
}

/// Tells whether standard error is the stream that systemd made for this unit: `JOURNAL_STREAM` is
/// `device:inode`, and a child whose standard error was led elsewhere inherits it too.
fn stderr_leads_there() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr().as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}
