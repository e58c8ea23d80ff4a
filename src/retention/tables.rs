//! Golden files: a script of runs above the line, and below it what each run stored and removed,
//! and why each copy that is left stays. `BLESS=1` writes the lower part anew, for review.

use std::fmt::Write as _;
use std::path::Path;

use jiff::tz::TimeZone;

use super::*;

struct Story {
    zone: TimeZone,
    now: Zoned,
    policy: Policy,
    copies: Vec<Copy>,
    told: String,
}

#[test]
fn every_story_ends_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/retention/golden");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let script = text.split(LINE).next().unwrap();
        let told = format!("{script}{LINE}{}", tell(script));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &told).unwrap();
        } else {
            assert_eq!(told, text, "{}", path.display());
        }
        read += 1;
    }
    assert!(read >= 20, "only {read} stories were found");
}

fn tell(script: &str) -> String {
    // The zone is spelled out, so that no time zone database is needed.
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let now = civil::date(2026, 1, 1).to_zoned(zone.clone()).unwrap();
    let policy = policy("days 7 weeks 4 months 12");
    let mut story = Story { zone, now, policy, copies: Vec::new(), told: String::new() };
    let lines = script.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .for_each(|line| story.line(line));
    story.told.push_str("\nleft:\n");
    let left = decide(&story.copies, &story.policy, &story.now, Moment::Prune);
    for (id, keep) in &left.keep {
        writeln!(story.told, "  {} stays: {keep}", story.name(id)).unwrap();
    }
    for (id, why) in &left.delete {
        writeln!(story.told, "  {} would go: {why}", story.name(id)).unwrap();
    }
    story.told
}

fn policy(text: &str) -> Policy {
    let words: Vec<&str> = text.split_whitespace().collect();
    let value = |name: &str| words.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let number = |name: &str| value(name).map_or(0, |text| text.parse().unwrap());
    Policy {
        days: number("days"),
        weeks: number("weeks"),
        months: number("months"),
        last: number("last"),
        min_copies: value("min_copies").map_or(1, |text| text.parse().unwrap()),
        rotation: match value("rotation") {
            None | Some("before") => Rotation::Before,
            Some("after") => Rotation::After,
            _ => Rotation::None,
        },
    }
}

impl Story {
    fn line(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "policy" => self.policy = policy(rest),
            "pin" => self.copy(rest).pinned = true,
            "break" => self.copy(rest).intact = false,
            "prune" => self.prune(rest),
            "each" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let (first, last): (civil::Date, civil::Date) =
                    (words[0].parse().unwrap(), words[2].parse().unwrap());
                let mut day = first;
                while day <= last {
                    self.run(&day.to_string(), words[3], &words[4..]);
                    day = day.tomorrow().unwrap();
                }
            }
            day => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                self.run(day, words[0], &words[1..]);
            }
        }
    }

    /// Runs once; `later` after the time means its second coming when summer time ends.
    fn run(&mut self, day: &str, time: &str, how: &[&str]) {
        let at: civil::DateTime = format!("{day}T{time}").parse().unwrap();
        let at = self.zone.to_ambiguous_zoned(at);
        self.now = if how.contains(&"later") { at.later() } else { at.compatible() }.unwrap();
        let shown = self.now.strftime("%a %Y-%m-%d %H:%M %:z").to_string();
        let Some(level) = level(&self.copies, &self.policy, &self.now) else {
            writeln!(self.told, "{shown} nothing is enabled for today").unwrap();
            return;
        };
        let how_shown = if how.is_empty() { "ok".to_owned() } else { how.join(" ") };
        writeln!(self.told, "{shown} {how_shown}").unwrap();
        self.apply(
            "before",
            decide(&self.copies, &self.policy, &self.now, Moment::Before { level }),
        );
        if how.contains(&"fails") {
            return;
        }
        let size = how.iter().position(|word| *word == "size").map(|at| how[at + 1]);
        let raw_bytes = size.map_or(1000, |size| size.parse().unwrap());
        let mut id = self.now.strftime("%Y-%m-%d_%H-%M-%S").to_string();
        while self.copies.iter().any(|copy| copy.id.as_str() == id) {
            id.push('+');
        }
        let made = ArtefactId::from_text(id);
        let shrunken = is_shrunken(&self.copies, raw_bytes, &self.now);
        self.copies.push(Copy {
            id: made.clone(),
            level,
            started: self.now.timestamp(),
            day: self.now.date(),
            raw_bytes,
            complete: !how.contains(&"partial"),
            shrunken,
            pinned: false,
            intact: !how.contains(&"lost"),
        });
        writeln!(self.told, "    stored {}", self.name(&made)).unwrap();
        self.apply(
            "after",
            decide(&self.copies, &self.policy, &self.now, Moment::After { made: &made }),
        );
    }

    fn prune(&mut self, how: &str) {
        let moment = if how == "--orphans" { Moment::PruneOrphans } else { Moment::Prune };
        writeln!(self.told, "prune {how}").unwrap();
        self.apply("prune", decide(&self.copies, &self.policy, &self.now, moment));
    }

    fn apply(&mut self, when: &str, verdict: Verdict) {
        for (id, why) in &verdict.delete {
            writeln!(self.told, "    {when}: {} goes: {why}", self.name(id)).unwrap();
        }
        if let Some(held) = &verdict.held {
            writeln!(self.told, "    {when}: held: {held}").unwrap();
        }
        self.copies.retain(|copy| verdict.delete.iter().all(|(id, _)| *id != copy.id));
    }

    fn copy(&mut self, id: &str) -> &mut Copy {
        self.copies.iter_mut().find(|copy| copy.id.as_str() == id).unwrap()
    }

    fn name(&self, id: &ArtefactId) -> String {
        let copy = self.copies.iter().find(|copy| copy.id == *id).unwrap();
        let marks = [
            (!copy.complete, " partial"),
            (copy.shrunken, " shrunken"),
            (copy.pinned, " pinned"),
            (!copy.intact, " broken"),
        ];
        let marks: String = marks.into_iter().filter(|mark| mark.0).map(|mark| mark.1).collect();
        format!("{} {id}{marks}", copy.level)
    }
}

const LINE: &str = "----\n";
