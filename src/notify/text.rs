//! A message as plain text: the other half of a mail, and what webhooks take by default.

use crate::notify::view::{Line, Row, View};

/// Puts a view into plain text.
pub(crate) fn render(view: &View) -> String {
    let mut text = format!("{}: {}\n", view.server, view.headline);
    text.push_str(&view.time);
    if !view.sums.is_empty() {
        text.push_str(&format!(": {}", view.sums));
    }
    text.push('\n');
    for note in &view.notes {
        text.push_str(&format!("Note: {note}\n"));
    }
    lines(&mut text, "Errors", &view.errors, MOST_ERRORS);
    lines(&mut text, "Warnings", &view.warnings, MOST_LINES);
    table(&mut text, &view.jobs);
    lines(&mut text, "Removed by rotation", &view.removed, MOST_LINES);
    if !view.log.is_empty() {
        text.push_str("\nLog\n");
        view.log.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

fn lines(text: &mut String, head: &str, lines: &[Line], most: usize) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{head}\n"));
    for line in lines.iter().take(most) {
        let said = line.text.replace('\n', "\n    ");
        match line.job.as_str() {
            "" => text.push_str(&format!("  {said}\n")),
            job => text.push_str(&format!("  {job}: {said}\n")),
        }
    }
    if lines.len() > most {
        text.push_str(&format!("  and {} more: the log has them\n", lines.len() - most));
    }
}

fn table(text: &mut String, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let heads = ["JOB", "RESULT", "SIZE", "STORED", "TIME", "CHANGE"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let job = match row.time.as_str() {
            "" => row.job.clone(),
            time => format!("{time} {}", row.job),
        };
        let [result, size, stored] = [row.result, &row.size, &row.stored].map(str::to_owned);
        [job, result, size, stored, row.took.clone(), row.change.clone()]
    });
    let all: Vec<[String; 6]> = std::iter::once(heads).chain(cells).collect();
    let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    text.push_str("\nJobs\n");
    for row in &all {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// More errors than these are counted.
pub(crate) const MOST_ERRORS: usize = 200;
/// More warnings or removals than these are counted.
pub(crate) const MOST_LINES: usize = 100;
