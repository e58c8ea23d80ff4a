//! Who hears what, and what is kept until it was heard.
//!
//! All channels are served at once, each with a limit of time: one that hangs holds up nobody.
//! A report is written down before it is sent and goes away only when the other side has taken
//! it. Where nobody knows whether it did, it is sent again and says so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{Zoned, civil};
use serde::Serialize;
use tracing::{debug, info, warn};

use crate::base::Cancel;
use crate::notify::outbox::{self, Outbox, Seen};
use crate::notify::{
    Channel, Error, Kind, Late, News, Notifier, Occasion, Result, Rule, Severity, Told, When,
};
use crate::report::JobReport;

/// Where messages are made.
#[derive(Clone, Debug)]
pub struct Desk<'a> {
    /// `main.server_name`.
    pub server: &'a str,
    /// What waits lies below it.
    pub state_dir: &'a Path,
    /// The present moment.
    pub now: Zoned,
    /// A wish to stop, heard while messages are sent. `None` where it was heard before: what is
    /// to be told of a run that was stopped is tried once.
    pub stop: Option<Cancel>,
}

/// What became of the news for one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Posted {
    /// The channel's name.
    pub channel: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of telling one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has taken this many reports.
    Sent(usize),
    /// There is nothing that it should hear now; this many reports wait for their hour.
    NothingDue(usize),
    /// It has not taken them; they are kept for the next time. The reason.
    Kept(String),
    /// It has not taken them and will not get them. The reason.
    Lost(String),
}

/// What waits for a channel.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// The channel's name.
    pub channel: String,
    /// How many reports.
    pub reports: usize,
    /// When the oldest run ended.
    pub oldest: Option<jiff::Timestamp>,
    /// Why the last try failed, if there was one.
    pub why: Option<String>,
}

/// Tells those who listen for signs of life that a run begins.
pub async fn begin(channels: &[Channel], desk: &Desk<'_>) {
    let pulses = channels.iter().filter_map(|channel| Some((channel, pulse(channel)?)));
    let news = desk.news(Occasion::Start, Vec::new(), false);
    join_all(pulses.map(|(channel, notifier)| {
        let news = &news;
        async move {
            // A start is over at once: it is not worth a second try.
            if let Err(error) = once(channel, &*notifier, news, desk).await {
                warn!("{}: the start could not be told: {error}", channel.name);
            }
        }
    }))
    .await;
}

/// Tells of a run to all who should hear of it now, with what waited for them.
pub async fn tell(channels: &[Channel], told: &Told, desk: &Desk<'_>) -> Vec<Posted> {
    join_all(channels.iter().map(|channel| async move {
        let outcome = match pulse(channel) {
            Some(notifier) => beat(channel, &*notifier, told, desk).await,
            None => serve(channel, Some(told), false, desk).await,
        };
        channel.posted(outcome)
    }))
    .await
}

/// Sends all that waits, whatever the hour.
pub async fn send_waiting(channels: &[Channel], desk: &Desk<'_>) -> Vec<Posted> {
    let kept = channels.iter().filter(|channel| pulse(channel).is_none());
    join_all(
        kept.map(|channel| async move { channel.posted(serve(channel, None, true, desk).await) }),
    )
    .await
}

/// Sends a message to every channel that only shows that messages arrive.
pub async fn test(channels: &[Channel], desk: &Desk<'_>) -> Vec<(String, Result<()>)> {
    let news = desk.news(Occasion::Test, Vec::new(), false);
    join_all(channels.iter().map(|channel| {
        let news = &news;
        async move {
            let sent = match &channel.notifier {
                Ok(notifier) => once(channel, &**notifier, news, desk).await,
                Err(why) => Err(Error::new(Kind::Refused, why.clone())),
            };
            (channel.name.clone(), sent)
        }
    }))
    .await
}

/// Says what waits for each channel.
pub fn waiting(channels: &[Channel], desk: &Desk<'_>) -> Vec<Waiting> {
    let row = |channel: &Channel| {
        let told = Outbox::of(desk.state_dir, &channel.name).waiting().told;
        let why = told.iter().rev().find_map(|one| one.late.as_ref().map(|late| late.why.clone()));
        let oldest = told.first().map(|one| one.at);
        Waiting { channel: channel.name.clone(), reports: told.len(), oldest, why }
    };
    channels.iter().map(row).collect()
}

/// Says where reports wait for channels that the config no longer names.
pub fn orphans(channels: &[Channel], desk: &Desk<'_>) -> Vec<String> {
    let known: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
    let found = outbox::orphans(desk.state_dir, &known);
    let words = |(folder, reports): (std::path::PathBuf, usize)| {
        format!(
            "{}: {reports} reports wait for somebody whom the config no longer names; remove the \
             folder if nobody needs them",
            folder.display()
        )
    };
    found.into_iter().map(words).collect()
}

impl Desk<'_> {
    fn news(&self, occasion: Occasion, told: Vec<Told>, with_log: bool) -> News {
        let (server, now) = (self.server.to_owned(), self.now.clone());
        News { server, occasion, now, told, with_log, silent_since: None }
    }

    async fn stopped(&self) {
        match &self.stop {
            Some(stop) => stop.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

impl Channel {
    fn posted(&self, outcome: Outcome) -> Posted {
        match &outcome {
            Outcome::Sent(_) => info!("{}: the report was sent", self.name),
            Outcome::NothingDue(_) => debug!("{}: nothing to tell now", self.name),
            Outcome::Kept(why) | Outcome::Lost(why) => warn!("{}: {why}", self.name),
        }
        Posted { channel: self.name.clone(), outcome }
    }
}

fn pulse(channel: &Channel) -> Option<Arc<dyn Notifier>> {
    channel.notifier.as_ref().ok().filter(|notifier| notifier.is_pulse()).cloned()
}

async fn beat(channel: &Channel, notifier: &dyn Notifier, told: &Told, desk: &Desk<'_>) -> Outcome {
    let news = desk.news(Occasion::Run, vec![told.clone()], true);
    match with_retries(channel, notifier, &news, desk).await {
        Ok(()) => Outcome::Sent(1),
        Err(error) => Outcome::Lost(format!("the sign of life could not be given: {error}")),
    }
}

/// Keeps what the channel should hear and sends what is due.
async fn serve(channel: &Channel, told: Option<&Told>, now: bool, desk: &Desk<'_>) -> Outcome {
    let outbox = Outbox::of(desk.state_dir, &channel.name);
    let ran = told.map(|told| told.at);
    let told = told.filter(|told| is_heard(&channel.rule, told, &outbox));
    let kept = match outbox.lock().await {
        Ok(lock) => told.map_or(Ok(()), |told| outbox.put(told)).map(|()| Some(lock)),
        Err(error) => Err(error),
    };
    let mut waiting = outbox.waiting();
    waiting.damaged.iter().for_each(|file| warn!("{}: cannot be sent: {file}", channel.name));
    if kept.is_err() {
        // What cannot be written down is sent all the same.
        waiting.told.extend(told.cloned());
    }
    if let (When::Daily(_), Some(at)) = (channel.rule.when, ran)
        && let Err(error) = outbox.ran(at)
    {
        warn!("{}: cannot remember when the last run was: {error}", channel.name);
    }
    if now && let Some(since) = silent_since(channel, &waiting.told, &outbox, &desk.now) {
        return tell_of_silence(channel, since, desk).await;
    }
    let due = now || is_due(channel.rule.when, &waiting.told, &desk.now);
    if waiting.told.is_empty() || !due {
        return Outcome::NothingDue(waiting.told.len());
    }
    let sent = give(channel, &outbox, &waiting.told, desk).await;
    match (sent, kept) {
        (Ok(()), _) => Outcome::Sent(waiting.told.len()),
        (Err(why), Ok(_)) => {
            Outcome::Kept(format!("could not be sent and is kept for the next run: {why}"))
        }
        (Err(why), Err(error)) => Outcome::Lost(format!(
            "could not be sent, nor kept below {}: {why}; {error}",
            desk.state_dir.display()
        )),
    }
}

/// Returns since when nothing has run, where a digest has nothing to tell for that reason.
fn silent_since(
    channel: &Channel,
    waiting: &[Told],
    outbox: &Outbox,
    now: &Zoned,
) -> Option<jiff::Timestamp> {
    let is_digest = matches!(channel.rule.when, When::Daily(_)) && waiting.is_empty();
    let last = outbox.last_run().filter(|_| is_digest)?;
    (now.timestamp().as_second() - last.as_second() > A_DAY).then_some(last)
}

/// A morning without a message would look like a good night.
async fn tell_of_silence(channel: &Channel, since: jiff::Timestamp, desk: &Desk<'_>) -> Outcome {
    let news = desk.news(Occasion::Digest, Vec::new(), false);
    let news = News { silent_since: Some(since), ..news };
    let sent = match &channel.notifier {
        Ok(notifier) => with_retries(channel, &**notifier, &news, desk).await,
        Err(why) => Err(Error::new(Kind::Refused, why.clone())),
    };
    match sent {
        Ok(()) => Outcome::Sent(0),
        Err(error) => Outcome::Lost(format!("could not be told that nothing has run: {error}")),
    }
}

/// Sends these in one message and takes note of what came of it.
async fn give(
    channel: &Channel,
    outbox: &Outbox,
    told: &[Told],
    desk: &Desk<'_>,
) -> std::result::Result<(), String> {
    let occasion = match channel.rule.when {
        When::Daily(_) => Occasion::Digest,
        When::PerRun | When::OnChange => Occasion::Run,
    };
    let news = desk.news(occasion, told.to_vec(), channel.rule.with_log);
    outbox.trying(told);
    let sent = match &channel.notifier {
        Ok(notifier) => with_retries(channel, &**notifier, &news, desk).await,
        Err(why) => Err(Error::new(Kind::Refused, why.clone())),
    };
    let noted = match &sent {
        Ok(()) => outbox.sent(told),
        Err(error) => {
            let may_have_arrived = error.kind == Kind::Unknown;
            outbox.failed(told, &Late { why: error.message.clone(), may_have_arrived })
        }
    };
    if let Err(error) = noted {
        warn!("{}: what came of it could not be noted: {error}", channel.name);
    }
    sent.map_err(|error| error.to_string())
}

/// Tells whether a channel should hear of this run at all.
fn is_heard(rule: &Rule, told: &Told, outbox: &Outbox) -> bool {
    if rule.when != When::OnChange {
        return told.severity() >= rule.level;
    }
    let before = outbox.seen();
    let mut seen = before.clone().unwrap_or_default();
    for (job, bad) in states(rule.level, told) {
        seen.insert(job, bad);
    }
    // What was never told of was good.
    let was = |job: &String| before.as_ref().is_some_and(|before| before.get(job) == Some(&true));
    let changed = seen.iter().any(|(job, bad)| *bad != was(job));
    if changed && let Err(error) = outbox.see(&seen) {
        warn!("cannot remember what was told: {error}");
    }
    changed
}

/// Whether each job is bad; the run as a whole has no name.
fn states(level: Severity, told: &Told) -> Seen {
    let report = &told.report;
    let is_bad =
        |job: &JobReport| job.has_failure() || (level == Severity::Warning && job.has_warning());
    let jobs = report.jobs.iter().map(|job| (job.job.clone(), is_bad(job)));
    jobs.chain([(String::new(), !report.errors.is_empty() || report.interrupted)]).collect()
}

/// Tells whether it is time; for a digest, whether the oldest report is from before its hour.
fn is_due(when: When, waiting: &[Told], now: &Zoned) -> bool {
    let When::Daily(at) = when else { return true };
    waiting.first().is_some_and(|oldest| oldest.at < last_hour(at, now))
}

/// The last time when the clock showed `at`.
fn last_hour(at: civil::Time, now: &Zoned) -> jiff::Timestamp {
    let of = |date: civil::Date| {
        let zone = now.time_zone().clone();
        date.to_datetime(at).to_zoned(zone).map_or(jiff::Timestamp::MIN, |hour| hour.timestamp())
    };
    let today = of(now.date());
    match today <= now.timestamp() {
        true => today,
        false => now.date().yesterday().map_or(today, of),
    }
}

async fn with_retries(
    channel: &Channel,
    notifier: &dyn Notifier,
    news: &News,
    desk: &Desk<'_>,
) -> Result<()> {
    let retries = if desk.stop.is_some() { channel.retries } else { 0 };
    let mut pause = FIRST_PAUSE;
    for _ in 0..retries {
        match once(channel, notifier, news, desk).await {
            Err(error) if error.kind == Kind::Unavailable => {
                info!("{}: {error}; trying again in {} s", channel.name, pause.as_secs());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = desk.stopped() => return Err(error),
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            done => return done,
        }
    }
    once(channel, notifier, news, desk).await
}

async fn once(
    channel: &Channel,
    notifier: &dyn Notifier,
    news: &News,
    desk: &Desk<'_>,
) -> Result<()> {
    let late = |why: String| Err(Error::new(Kind::Unknown, why));
    tokio::select! {
        sent = notifier.send(news) => sent,
        () = tokio::time::sleep(channel.timeout) => {
            late(format!("no answer within {} s", channel.timeout.as_secs_f64()))
        }
        () = desk.stopped() => late("stopped before there was an answer".to_owned()),
    }
}

const A_DAY: i64 = 24 * 3600;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
