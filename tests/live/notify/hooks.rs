//! Webhooks, chats and health checks: what they are asked, and what becomes of their answers.

use super::{bed, mend, nowhere};
use crate::support::hook::Hook;
use crate::support::server::Server;

/// One of each kind; all secrets are in the environment.
fn everybody(hook: &Hook) -> String {
    let url = |path: &str| hook.url(path);
    format!(
        "  notify:
  - {{kind: slack, level: info, url: !env SLACK}}
  - {{kind: mattermost, level: info, url: {}, channel: ops}}
  - {{kind: discord, level: info, url: {}, username: backups}}
  - {{kind: telegram, level: info, token: !env TELEGRAM, chat_id: -100123, url: {}}}
  - {{kind: ntfy, level: info, topic: !env TOPIC, token: !env NTFY, url: {}}}
  - {{kind: ping, url: {}}}
  - {{kind: webhook, level: info, url: {}}}
  - kind: webhook
    name: own
    level: info
    url: {}
    method: PUT
    headers:
      Authorization: !env BEARER
      X-Result: '{{{{ severity }}}}'
    body: |
      {{\"title\": {{{{ subject|tojson }}}}, \"failed\": [
      {{%- for job in jobs if job.result != \"ok\" %}}{{{{ job.job|tojson }}}}{{% endfor -%}}
      ]}}
",
        url("/mattermost"),
        url("/discord"),
        url("/telegram"),
        url("/ntfy"),
        url("/ping/uuid"),
        url("/generic"),
        url("/own"),
    )
}

const SECRETS: [(&str, &str); 5] = [
    ("SLACK", "services/T0/B0/hunter-slack"),
    ("TELEGRAM", "123456:hunter-telegram"),
    ("TOPIC", "hunter-topic"),
    ("NTFY", "hunter-ntfy"),
    ("BEARER", "Bearer hunter-bearer"),
];

fn with_secrets(bed: crate::support::bed::Bed, hook: &Hook) -> crate::support::bed::Bed {
    SECRETS.iter().fold(bed, |bed, (name, value)| match *name {
        "SLACK" => bed.env(name, &hook.url(&format!("/{value}"))),
        _ => bed.env(name, value),
    })
}

#[test]
fn every_service_is_asked_as_it_wants_it_and_no_secret_is_written_anywhere() {
    let hook = Hook::new();
    let bed = with_secrets(bed(&everybody(&hook)), &hook);
    let ran = bed.run(["start", "-vv"]).exit(3).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    drop(ran);
    let asked = hook.asked();
    assert_eq!(asked.len(), 9, "{asked:#?}");
    let to = |path: &str| {
        asked.iter().find(|one| one.path == path).unwrap_or_else(|| panic!("{path}: {asked:#?}"))
    };
    let subject = "[web1] backup done in part: 1 of 2 jobs failed";
    let slack = to("/services/T0/B0/hunter-slack").json();
    let text = slack["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("{subject}\n• bücher: ")), "{text}");
    let mattermost = to("/mattermost").json();
    assert_eq!(mattermost["channel"], "ops");
    assert!(mattermost["text"].as_str().unwrap().starts_with(subject));
    let discord = to("/discord").json();
    assert_eq!(
        (&discord["username"], &discord["allowed_mentions"]["parse"]),
        (&"backups".into(), &serde_json::json!([]))
    );
    let telegram = to("/telegram/bot123456:hunter-telegram/sendMessage").json();
    assert_eq!(telegram["chat_id"], "-100123");
    let ntfy = to("/ntfy");
    assert_eq!(ntfy.header("authorization"), Some("Bearer hunter-ntfy"));
    assert_eq!(
        (&ntfy.json()["topic"], &ntfy.json()["title"], &ntfy.json()["priority"]),
        (&"hunter-topic".into(), &subject.into(), &4.into())
    );
    assert_eq!(asked[0].path, "/ping/uuid/start", "before anything else");
    assert!(to("/ping/uuid/fail").body.contains("End of the log\nINFO [sites] ["), "{asked:#?}");
    let generic = to("/generic").json();
    assert_eq!(
        (&generic["report"]["severity"], &generic["report"]["jobs"][0]["result"]),
        (&"error".into(), &"failed".into())
    );
    let own = to("/own");
    assert_eq!(
        (own.method.as_str(), own.header("authorization")),
        ("PUT", Some("Bearer hunter-bearer"))
    );
    assert_eq!(
        (own.header("x-result"), own.json()),
        (Some("error"), serde_json::json!({"title": subject, "failed": ["bücher"]}))
    );
    let secrets = ["hunter-"];
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    nowhere(&bed, "state", &secrets);
    nowhere(&bed, "log", &secrets);
    mend(&bed);
    bed.run(["start"]);
    let asked = hook.asked();
    let pings: Vec<&str> = asked
        .iter()
        .map(|one| one.path.as_str())
        .filter(|path| path.starts_with("/ping"))
        .collect();
    assert_eq!(pings, ["/ping/uuid/start", "/ping/uuid"]);
    bed.run(["check", "--notify"]).stdout_has("told   own");
    assert_eq!(hook.asked().len(), 8);
}

#[test]
fn an_answer_that_quotes_the_request_brings_no_secret_back() {
    let hook = Hook::new();
    hook.echo();
    let bed = with_secrets(bed(&everybody(&hook)), &hook);
    let ran = bed.run(["start", "-vv"]).exit(3).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    drop(ran);
    assert!(said.contains("it answered 403 Forbidden: ***"), "{said}");
    let secrets = ["hunter", "services/T0"];
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    nowhere(&bed, "state", &secrets);
    nowhere(&bed, "log", &secrets);
}

#[test]
fn a_server_error_is_tried_again_and_then_kept_for_the_next_run() {
    let hook = Hook::new();
    let main = |retries: u32| {
        format!(
            "  notify:\n  - {{kind: webhook, url: '{}', retries: {retries}}}\n  - {{kind: slack, url: '{}'}}\n",
            hook.url("/hook/hunter2"),
            hook.url("/gone/hunter2")
        )
    };
    let mut bed = bed(&main(1));
    hook.answer("/hook", &[500, 503]);
    hook.answer("/gone", &[404]);
    let ran = bed.run(["start"]).exit(3).noisy();
    let kept = "the report for 'webhook' could not be sent and is kept for the next run: it answered 503 Service Unavailable: hello";
    assert!(ran.out().contains(kept), "{}", ran.out());
    assert!(ran.out().contains(
        "'slack' could not be sent and is kept for the next run: it answered 404 Not Found: hello"
    ));
    assert!(!ran.out().contains("hunter2") && !ran.err().contains("hunter2"));
    drop(ran);
    let asked = hook.asked();
    let tries =
        |path: &str| asked.iter().filter(|one| one.path.starts_with(path)).collect::<Vec<_>>();
    let (hook_tries, gone_tries) = (tries("/hook"), tries("/gone"));
    assert_eq!(gone_tries.len(), 1, "a 404 is no better the second time");
    assert_eq!(hook_tries.len(), 2);
    let id = "idempotency-key";
    assert!(hook_tries[0].header(id).is_some());
    assert_eq!(hook_tries[0].header(id), hook_tries[1].header(id));
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]).exit(3).noisy();
    let asked = hook.asked();
    let hooked = asked.iter().find(|one| one.path.starts_with("/hook")).unwrap().json();
    assert_eq!(hooked["report"]["headline"], "2 of 2 backup runs FAILED");
    assert_eq!(
        hooked["report"]["notes"][0],
        "the report of 11-21 03:00 comes late: it answered 503 Service Unavailable: hello"
    );
    assert_eq!(bed.run(["report", "--json"]).json()[0]["reports"], 0);
}

#[test]
fn a_webhook_that_hangs_holds_up_neither_the_run_nor_the_others() {
    let hook = Hook::new();
    hook.hang("/hangs");
    let main = format!(
        "  notify:\n  - {{kind: webhook, name: stuck, url: '{}', timeout: 1s}}\n  - {{kind: webhook, name: good, url: '{}'}}\n",
        hook.url("/hangs"),
        hook.url("/good")
    );
    let bed = bed(&main);
    let begun = std::time::Instant::now();
    let ran = bed.run(["start"]).exit(3).noisy();
    let kept = "the report for 'stuck' could not be sent and is kept for the next run: no answer within 1 s";
    assert!(ran.out().contains(kept), "{}", ran.out());
    drop(ran);
    // It would hang for ten minutes.
    assert!(begun.elapsed().as_secs() < 60);
    assert_eq!(hook.asked().len(), 2, "one try each: nobody knows whether the first arrived");
    assert!(bed.path("store").exists());
}

#[test]
fn a_secret_that_is_missing_stops_its_notifier_and_no_backup() {
    let hook = Hook::new();
    let main = format!(
        "  notify:\n  - {{kind: slack, url: !env NOBODY_SETS_THIS, level: info}}\n  - {{kind: webhook, level: info, url: '{}'}}\n",
        hook.url("/good")
    );
    let bed = bed(&main);
    mend(&bed);
    let ran = bed.run(["start"]).exit(3).noisy();
    assert!(
        ran.out()
            .contains("the report for 'slack' could not be sent and is kept for the next run: "),
        "{}",
        ran.out()
    );
    assert!(ran.out().contains("the environment variable NOBODY_SETS_THIS is not set"));
    assert!(ran.out().contains("3 copies stored"), "{}", ran.out());
    assert_eq!(hook.asked().len(), 1);
}

#[test]
fn a_secret_that_is_none_stops_its_notifier_and_no_backup() {
    let hook = Hook::new();
    let main = format!(
        "  notify:\n  - {{kind: slack, url: !env NO_URL, level: info}}\n  - {{kind: webhook, level: info, url: '{}'}}\n",
        hook.url("/good")
    );
    let bed = bed(&main).env("NO_URL", "hunter2");
    mend(&bed);
    let ran = bed.run(["start"]).exit(3).noisy();
    let kept = "the report for 'slack' could not be sent and is kept for the next run: ";
    let why = "`url` must be a URL that begins with https:// or http://";
    assert!(ran.out().contains(kept) && ran.out().contains(why), "{}", ran.out());
    assert!(ran.out().contains("3 copies stored") && !ran.out().contains("hunter2"));
    drop(ran);
    assert_eq!(hook.asked().len(), 1);
    bed.run(["check", "--notify"]).exit(3).noisy();
}

#[test]
fn a_webhook_over_tls_trusts_whom_ca_file_names_and_a_proxy_is_asked() {
    let (server, proxy) = (Server::shared("apache"), Hook::new());
    let url = format!("https://localhost:{}/open/told-{}", server.port(1), std::process::id());
    let main = format!(
        "  notify:\n  - {{kind: webhook, name: good, method: PUT, level: info, url: !file url, ca_file: '{}'}}\n  \
         - {{kind: webhook, name: stranger, method: PUT, level: info, url: '{url}'}}\n  \
         - {{kind: webhook, name: far, level: info, url: 'http://far.invalid/x', proxy: '{}'}}\n",
        server.path("tls/ca.crt").display(),
        proxy.url("")
    );
    let bed = bed(&main).file("url", &format!("{url}\n"));
    mend(&bed);
    let ran = bed.run(["start"]).exit(3).noisy();
    let said = ran.out().to_owned();
    drop(ran);
    let refused = "the report for 'stranger' could not be sent and is kept for the next run: ";
    assert!(said.contains(refused) && said.contains("invalid peer certificate"), "{said}");
    assert!(!said.contains("'good'") && !said.contains("'far'"), "{said}");
    assert_eq!(proxy.asked()[0].path, "http://far.invalid/x");
    let told = std::process::Command::new("curl")
        .args(["--silent", "--fail", "--cacert"])
        .arg(server.path("tls/ca.crt"))
        .arg(&url)
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["report"]["severity"], "info");
}

#[test]
fn a_run_that_could_not_begin_is_told_too() {
    let hook = Hook::new();
    let bed = bed(&format!("  notify:\n  - {{kind: webhook, url: '{}'}}\n", hook.url("/hook")));
    mend(&bed);
    bed.run(["start"]);
    assert_eq!(hook.asked().len(), 0);
    let lock = std::fs::File::open(bed.path("state/locks/backup.lock")).unwrap();
    lock.lock().unwrap();
    bed.run(["start"]).exit(4).noisy();
    let told = hook.asked().remove(0).json();
    assert_eq!(told["report"]["headline"], "backup FAILED: 1 error");
    assert!(told["text"].as_str().unwrap().contains("another run holds the lock"), "{told}");
    lock.unlock().unwrap();
    bed.run(["start", "no-such-job"]).exit(2).noisy();
    assert!(hook.asked().remove(0).body.contains("no-such-job"));
}
