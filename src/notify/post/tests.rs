//! Who is told when, and that no report is lost or told twice without a word.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::notify::Log;
use crate::notify::view::View;
use crate::notify::view::tests::run_of;

/// Somebody who takes, or answers with these errors first; the subjects and notes are kept.
#[derive(Default)]
struct Ear {
    answers: Mutex<Vec<Kind>>,
    heard: Mutex<Vec<String>>,
    hangs: bool,
}

#[async_trait]
impl Notifier for Ear {
    async fn send(&self, news: &News) -> Result<()> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(kind) = self.answers.lock().unwrap().pop() {
            return Err(Error::new(kind, "not now"));
        }
        let view = View::of(news);
        let notes: String = view.notes.iter().map(|note| format!("; {note}")).collect();
        self.heard.lock().unwrap().push(format!("{}{notes}", view.headline));
        Ok(())
    }

    fn is_pulse(&self) -> bool {
        false
    }
}

fn channel(ear: &Arc<Ear>, when: When, level: Severity) -> Channel {
    Channel {
        name: "ear".into(),
        kind: "webhook",
        rule: Rule { when, level, with_log: false },
        timeout: Duration::from_secs(5),
        retries: 0,
        notifier: Ok(ear.clone()),
    }
}

struct Office {
    state: tempfile::TempDir,
    ear: Arc<Ear>,
    channel: Channel,
}

impl Office {
    fn new(when: When, level: Severity) -> Self {
        let ear = Arc::new(Ear::default());
        let channel = channel(&ear, when, level);
        Self { state: tempfile::tempdir().unwrap(), ear, channel }
    }

    fn desk(&self, now: &str) -> Desk<'_> {
        let now = format!("2026-11-{now}:00+00:00[UTC]").parse().unwrap();
        Desk { server: "web1", state_dir: self.state.path(), now, stop: Some(Cancel::default()) }
    }

    /// Tells of a run of `jobs` jobs (3 of them are a failure) and returns what is heard then.
    async fn run(&self, now: &str, jobs: usize) -> Vec<String> {
        let desk = self.desk(now);
        let report = run_of(jobs).report;
        let told = Told::new(report, Log::default(), None, &desk.now);
        tell(std::slice::from_ref(&self.channel), &told, &desk).await;
        std::mem::take(&mut *self.ear.heard.lock().unwrap())
    }

    fn fails_with(&self, kinds: &[Kind]) {
        self.ear.answers.lock().unwrap().extend(kinds.iter().rev());
    }
}

const OK: &str = "backup ok: 1 job, 2 copies";
const BAD: &str = "backup done in part: 1 of 3 jobs failed, 1 warning";
const NONE: [&str; 0] = [];

#[tokio::test]
async fn each_run_is_told_once_to_those_whose_level_it_reaches() {
    let office = Office::new(When::PerRun, Severity::Info);
    assert_eq!(office.run("21T03:00", 1).await, [OK]);
    assert_eq!(office.run("21T04:00", 3).await, [BAD]);
    let office = Office::new(When::PerRun, Severity::Error);
    assert_eq!(office.run("21T03:00", 1).await, NONE);
    assert_eq!(office.run("21T04:00", 3).await, [BAD]);
}

#[tokio::test]
async fn what_could_not_be_sent_goes_out_with_the_next_run() {
    let office = Office::new(When::PerRun, Severity::Info);
    office.fails_with(&[Kind::Unavailable, Kind::Refused]);
    assert_eq!(office.run("21T03:00", 3).await, NONE);
    assert_eq!(office.run("22T03:00", 1).await, NONE);
    let waits = waiting(std::slice::from_ref(&office.channel), &office.desk("22T04:00"));
    assert_eq!((waits[0].reports, waits[0].why.as_deref()), (2, Some("not now")));
    assert_eq!(
        office.run("23T03:00", 1).await,
        [
            "1 of 3 backup runs FAILED; the report of 11-21 03:00 comes late: not now; the report of \
          11-22 03:00 comes late: not now"
        ]
    );
    assert_eq!(office.run("24T03:00", 1).await, [OK], "and only once");
}

#[tokio::test]
async fn what_may_have_arrived_is_sent_again_and_says_so() {
    let office = Office::new(When::PerRun, Severity::Info);
    office.fails_with(&[Kind::Unknown]);
    assert_eq!(office.run("21T03:00", 1).await, NONE);
    let heard = office.run("22T03:00", 1).await.concat();
    assert!(
        heard.contains("may have arrived all the same, then this is the second time"),
        "{heard}"
    );
    // A program that was killed while it sent does not know either.
    let outbox = Outbox::of(office.state.path(), "ear");
    let told = Told::new(run_of(1).report, Log::default(), None, &office.desk("22T05:00").now);
    outbox.put(&told).unwrap();
    outbox.trying(&[told]);
    let heard = office.run("23T03:00", 1).await.concat();
    assert!(heard.contains("the program ended while it was sent; it may have arrived"), "{heard}");
    assert_eq!(office.run("24T03:00", 1).await, [OK]);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_not_taken_is_tried_again_at_once() {
    for (answers, retries, heard) in [
        (&[Kind::Unavailable, Kind::Unavailable][..], 2, true),
        (&[Kind::Unavailable, Kind::Unavailable, Kind::Unavailable], 2, false),
        (&[Kind::Refused], 2, false),
        (&[Kind::Unknown], 2, false),
    ] {
        let mut office = Office::new(When::PerRun, Severity::Info);
        office.channel.retries = retries;
        office.fails_with(answers);
        assert_eq!(office.run("21T03:00", 1).await.len(), usize::from(heard), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_holds_up_neither_the_others_nor_the_end() {
    let (good, stuck) = (Arc::new(Ear::default()), Arc::new(Ear { hangs: true, ..Ear::default() }));
    let state = tempfile::tempdir().unwrap();
    let mut channels = vec![channel(&stuck, When::PerRun, Severity::Info)];
    channels.push(Channel { name: "good".into(), ..channel(&good, When::PerRun, Severity::Info) });
    let now: Zoned = "2026-11-21T03:00:00+00:00[UTC]".parse().unwrap();
    let desk = Desk { server: "web1", state_dir: state.path(), now, stop: None };
    let begun = tokio::time::Instant::now();
    let posted = tell(&channels, &run_of(1), &desk).await;
    assert_eq!(begun.elapsed().as_secs(), 5, "its own limit, and no more");
    assert_eq!(posted[1].outcome, Outcome::Sent(1));
    let why = "could not be sent and is kept for the next run: no answer within 5 s";
    assert_eq!(posted[0].outcome, Outcome::Kept(why.into()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_while_it_is_sent_and_the_report_is_kept() {
    let stuck = Arc::new(Ear { hangs: true, ..Ear::default() });
    let stuck = Channel {
        timeout: Duration::from_secs(3600),
        ..channel(&stuck, When::PerRun, Severity::Info)
    };
    let mut busy = Office::new(When::PerRun, Severity::Info);
    busy.channel.retries = 10;
    busy.fails_with(&[Kind::Unavailable; 11]);
    for (channel, seconds, why) in [
        (&stuck, 7, "stopped before there was an answer"),
        // After one, three and seven seconds it was tried again.
        (&busy.channel, 9, "not now"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let desk = Desk { state_dir: state.path(), ..busy.desk("21T03:00") };
        let stop = desk.stop.clone().unwrap();
        let begun = tokio::time::Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            stop.cancel();
        });
        let posted = tell(std::slice::from_ref(channel), &run_of(1), &desk).await;
        assert_eq!(begun.elapsed().as_secs(), seconds);
        let kept = format!("could not be sent and is kept for the next run: {why}");
        assert_eq!(posted[0].outcome, Outcome::Kept(kept));
        assert_eq!(waiting(std::slice::from_ref(channel), &desk)[0].reports, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_stopped_is_told_of_once() {
    let mut office = Office::new(When::PerRun, Severity::Info);
    office.channel.retries = 10;
    office.fails_with(&[Kind::Unavailable]);
    let desk = Desk { stop: None, ..office.desk("21T03:00") };
    let channels = std::slice::from_ref(&office.channel);
    let posted = tell(channels, &run_of(1), &desk).await;
    assert!(matches!(posted[0].outcome, Outcome::Kept(_)), "{posted:?}");
    assert_eq!(tell(channels, &run_of(1), &desk).await[0].outcome, Outcome::Sent(2));
}

#[tokio::test]
async fn a_change_is_told_and_its_end_but_nothing_between() {
    let office = Office::new(When::OnChange, Severity::Error);
    for (day, jobs, wanted) in [
        (1, 1, None),
        (2, 1, None),
        (3, 3, Some(BAD)),
        (4, 3, None),
        (5, 1, Some("backup ok: 1 job, 2 copies")),
        (6, 1, None),
        (7, 3, Some(BAD)),
    ] {
        let heard = office.run(&format!("{day:02}T03:00"), jobs).await;
        assert_eq!(heard.first().map(String::as_str), wanted, "on day {day}");
    }
}

#[tokio::test]
async fn a_digest_is_sent_by_the_first_run_after_its_hour() {
    let office = Office::new(When::Daily(civil::time(7, 0, 0, 0)), Severity::Info);
    assert_eq!(office.run("21T03:00", 1).await, NONE);
    assert_eq!(office.run("21T06:59", 3).await, NONE);
    assert_eq!(office.run("21T07:00", 1).await, ["1 of 3 backup runs FAILED"]);
    assert_eq!(office.run("21T08:00", 1).await, NONE);
    assert_eq!(office.run("22T03:00", 1).await, NONE);
    assert_eq!(office.run("22T07:30", 1).await, ["3 backup runs ok"]);
    assert_eq!(office.run("23T03:00", 1).await, NONE);
    let desk = office.desk("23T05:00");
    let posted = send_waiting(std::slice::from_ref(&office.channel), &desk).await;
    assert_eq!(posted[0].outcome, Outcome::Sent(1), "`report --send` does not wait for the hour");
}

#[tokio::test]
async fn a_digest_of_nothing_says_that_nothing_has_run() {
    // Good runs are below its level: that is no silence.
    let office = Office::new(When::Daily(civil::time(7, 0, 0, 0)), Severity::Error);
    assert_eq!(office.run("21T03:00", 1).await, NONE);
    for (now, heard) in
        [("21T08:00", None), ("22T08:00", Some("NO backup has run since 2026-11-21 03:00"))]
    {
        send_waiting(std::slice::from_ref(&office.channel), &office.desk(now)).await;
        assert_eq!(office.ear.heard.lock().unwrap().pop().as_deref(), heard, "{now}");
    }
}

#[tokio::test]
async fn without_a_folder_to_keep_it_the_report_is_sent_all_the_same() {
    let mut office = Office::new(When::PerRun, Severity::Info);
    office.channel.name = "other".into();
    std::fs::write(office.state.path().join("notify"), "in the way").unwrap();
    assert_eq!(office.run("21T03:00", 1).await, [OK]);
    office.fails_with(&[Kind::Refused]);
    let desk = office.desk("21T04:00");
    let posted = tell(std::slice::from_ref(&office.channel), &run_of(1), &desk).await;
    let Outcome::Lost(why) = &posted[0].outcome else { panic!("{posted:?}") };
    assert!(why.starts_with("could not be sent, nor kept below /"), "{why}");
}

#[test]
fn a_channel_that_takes_nothing_for_months_does_not_fill_the_disk() {
    let state = tempfile::tempdir().unwrap();
    let outbox = Outbox::of(state.path(), "ear");
    let told = run_of(1);
    for at in 0..130 {
        outbox.put(&Told { id: format!("{at:04}"), ..told.clone() }).unwrap();
    }
    let waiting = outbox.waiting();
    assert_eq!((waiting.told.len(), waiting.told[0].id.as_str()), (100, "0030"));
    assert_eq!(super::outbox::orphans(state.path(), &["ear"]), []);
    assert_eq!(super::outbox::orphans(state.path(), &[])[0].1, 100);
}
