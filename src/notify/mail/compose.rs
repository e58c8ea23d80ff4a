//! One message of mail out of news: subject, plain text and HTML.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use serde::Serialize;

use crate::base::BoxError;
use crate::notify::mail::host_name;
use crate::notify::view::{Line, View};
use crate::notify::{News, template, text};

/// Makes the message to one address; made again of the same news it has the same Message-ID.
pub(super) fn message(news: &News, from: Mailbox, to: Mailbox) -> Result<Message, BoxError> {
    let view = View::of(news);
    let seed = format!("{} {}", news.id(), to.email);
    let id = format!("<{}@{}>", &blake3::hash(seed.as_bytes()).to_hex()[..32], host_name());
    let robot = HeaderName::new_from_ascii_str("Auto-Submitted");
    let message = Message::builder()
        .from(from)
        .to(to)
        .date(SystemTime::from(news.now.timestamp()))
        .message_id(Some(id))
        .raw_header(HeaderValue::new(robot, "auto-generated".to_owned()))
        .subject(view.subject.replace('\n', " "))
        .multipart(MultiPart::alternative_plain_html(text::render(&view), html(&view)?))?;
    Ok(message)
}

/// What the page shows: the view, its long lists cut.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    view: &'a View,
    colour: &'static str,
    shown_errors: &'a [Line],
    more_errors: usize,
    shown_warnings: &'a [Line],
    more_warnings: usize,
    shown_removed: &'a [Line],
    more_removed: usize,
}

/// Puts a view into a page that needs nothing from elsewhere.
pub(super) fn html(view: &View) -> Result<String, String> {
    let colour = match view.severity.as_str() {
        "error" => "#b42318",
        "warning" => "#b54708",
        _ => "#067647",
    };
    let (shown_errors, more_errors) = cut(&view.errors, text::MOST_ERRORS);
    let (shown_warnings, more_warnings) = cut(&view.warnings, text::MOST_LINES);
    let (shown_removed, more_removed) = cut(&view.removed, text::MOST_LINES);
    let page = Page {
        view,
        colour,
        shown_errors,
        more_errors,
        shown_warnings,
        more_warnings,
        shown_removed,
        more_removed,
    };
    template::fill_html(include_str!("report.html"), &page)
}

fn cut(lines: &[Line], most: usize) -> (&[Line], usize) {
    let shown = &lines[..lines.len().min(most)];
    (shown, lines.len() - shown.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Occasion;
    use crate::notify::view::tests::{news_of, run_of};

    fn made(news: &News) -> String {
        let [from, to] = ["Sender <a@a.example>", "b@b.example"].map(|it| it.parse().unwrap());
        String::from_utf8(message(news, from, to).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_message_has_what_mail_servers_ask_for() {
        let news = news_of(run_of(3));
        let text = made(&news);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        for wanted in [
            "From: Sender <a@a.example>",
            "To: b@b.example",
            "Date: Sat, 21 Nov 2026 03:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "Subject: [web1] backup done in part: 1 of 3 jobs failed, 1 warning",
            "MIME-Version: 1.0",
            "Content-Type: multipart/alternative;",
        ] {
            assert!(head.contains(wanted), "no {wanted:?} in\n{head}");
        }
        assert!(head.contains("Message-ID: <") && head.lines().all(|line| line.len() < 998));
        assert!(body.contains("Content-Type: text/plain; charset=utf-8"));
        assert!(body.contains("Content-Type: text/html; charset=utf-8"));
        let id =
            |text: &str| text.lines().find(|it| it.starts_with("Message-ID")).unwrap().to_owned();
        assert_eq!(id(&text), id(&made(&news)), "a second try is the same message");
    }

    #[test]
    fn names_cannot_become_markup() {
        let mut told = run_of(3);
        let job = &mut told.report.jobs[0];
        job.job = "<script>alert(1)</script>".into();
        job.errors.push("a & b <img src=x> \x1b[31m".into());
        let page = html(&View::of(&news_of(told))).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\x1b'));
        assert!(page.contains("&lt;script&gt;") && page.contains("a &amp; b &lt;img"), "{page}");
    }

    #[test]
    fn the_page_of_three_hundred_jobs_shows_what_failed_first_and_is_not_clipped() {
        let page = html(&View::of(&news_of(run_of(300)))).unwrap();
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in {page}"));
        assert!(place(">Errors<") < place(">Warnings<"));
        assert!(place(">Warnings<") < place(">Jobs<") && place(">Jobs<") < place(">Removed"));
        assert!(place("failed</b>") < place(">ok<"));
        // Gmail clips what is longer than 102 KiB.
        assert!(page.len() < 100 << 10, "{} bytes", page.len());
    }

    #[test]
    #[ignore = "writes the pages of docs/reports-*.png for a browser into the folder NXS_PAGES"]
    fn pages_for_the_pictures_in_docs() {
        let folder = std::env::var("NXS_PAGES").unwrap();
        for jobs in [3, 300] {
            let page = html(&View::of(&news_of(run_of(jobs)))).unwrap();
            std::fs::write(format!("{folder}/{jobs}.html"), page).unwrap();
        }
    }

    #[test]
    fn a_test_needs_no_run() {
        let news = News { occasion: Occasion::Test, told: Vec::new(), ..news_of(run_of(1)) };
        assert!(made(&news).contains("Subject: [web1] test: messages of nxs-backup arrive here"));
    }
}
