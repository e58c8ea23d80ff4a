//! A message as chats take it: the headline, the first errors, and no more than fits.

use crate::base::count;
use crate::notify::view::View;

/// Puts a view into at most `most` characters.
pub(crate) fn render(view: &View, most: usize) -> String {
    let mut parts = vec![view.subject.clone()];
    parts.extend(view.notes.iter().cloned());
    let line = |line: &crate::notify::view::Line| match line.job.as_str() {
        "" => format!("• {}", shortened(&line.text, LONGEST_LINE)),
        job => format!("• {job}: {}", shortened(&line.text, LONGEST_LINE)),
    };
    parts.extend(view.errors.iter().take(SHOWN).map(line));
    if view.errors.len() > SHOWN {
        parts.push(format!("and {} more", count(view.errors.len() - SHOWN, "error", "errors")));
    }
    if view.errors.is_empty() {
        parts.extend(view.warnings.iter().take(SHOWN).map(line));
    }
    if !view.sums.is_empty() {
        parts.push(view.sums.clone());
    }
    shortened(&parts.join("\n"), most)
}

/// Cuts a text to `most` characters, the last of which then is `…`.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

const SHOWN: usize = 10;
const LONGEST_LINE: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::view::Line;

    #[test]
    fn a_message_of_a_chat_fits_and_begins_with_what_happened() {
        let error = |at| Line { job: format!("job{at}"), text: "\u{e4}".repeat(1000) };
        let view = View {
            subject: "[web1] backup FAILED".into(),
            errors: (0..300).map(error).collect(),
            sums: "0 copies of 300 jobs".into(),
            ..View::default()
        };
        let text = render(&view, 100_000);
        assert!(text.starts_with("[web1] backup FAILED\n• job0: ä"), "{text}");
        assert!(
            text.ends_with("and 290 errors more\n0 copies of 300 jobs") || text.contains("and 290"),
            "{text}"
        );
        let text = render(&view, 500);
        assert_eq!(text.chars().count(), 500);
        assert!(text.ends_with('…'));
    }
}
