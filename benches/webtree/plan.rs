//! Which files a web tree has: folders, kinds, sizes.

use std::path::PathBuf;

use crate::random::Random;

/// What a file holds, with its share of the files and of the bytes, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Php,
    Js,
    Html,
    Css,
    Json,
    Image,
    Log,
    Archive,
}

struct Share {
    kind: Kind,
    files: u64,
    bytes: u64,
    /// How far sizes spread: the sigma of their logarithm.
    spread: f64,
    endings: &'static [&'static str],
}

const SHARES: &[Share] = &[
    Share { kind: Kind::Php, files: 360, bytes: 135, spread: 1.1, endings: &["php", "inc.php"] },
    Share { kind: Kind::Js, files: 230, bytes: 130, spread: 1.3, endings: &["js", "mjs", "ts"] },
    Share { kind: Kind::Html, files: 90, bytes: 45, spread: 0.9, endings: &["html", "twig"] },
    Share { kind: Kind::Css, files: 50, bytes: 35, spread: 1.1, endings: &["css", "scss"] },
    Share { kind: Kind::Json, files: 60, bytes: 40, spread: 1.5, endings: &["json", "yml"] },
    Share {
        kind: Kind::Image,
        files: 209,
        bytes: 375,
        spread: 0.9,
        endings: &["jpg", "png", "webp"],
    },
    Share { kind: Kind::Log, files: 0, bytes: 110, spread: 0.7, endings: &["log", "log.1"] },
    Share { kind: Kind::Archive, files: 1, bytes: 130, spread: 0.8, endings: &["zip", "tar.gz"] },
];

/// A file that is to be written.
pub(crate) struct Plan {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) bytes: u64,
    pub(crate) seed: u64,
}

/// Makes up folders of the kinds that web projects have, some of them deep.
pub(crate) fn folders(random: &mut Random, files: usize) -> Vec<PathBuf> {
    let names = [
        "src",
        "lib",
        "app",
        "views",
        "includes",
        "assets",
        "dist",
        "tests",
        "vendor",
        "modules",
        "node_modules",
        "controllers",
        "models",
        "templates",
        "components",
        "locale",
        "admin",
        "api",
        "core",
        "plugins",
        "themes",
        "fonts",
        "build",
        "util",
    ];
    let mut found: Vec<PathBuf> =
        ["app", "vendor", "node_modules", "public/assets", "public/uploads", "var/log"]
            .into_iter()
            .map(PathBuf::from)
            .collect();
    for year in 2014..2026 {
        found.extend(
            (1..=12).map(|month| PathBuf::from(format!("public/uploads/{year}/{month:02}"))),
        );
    }
    let trees = found.len();
    for number in 0..(files / 11).max(4) {
        // Every third goes below the newest: that makes chains, and a few very deep places.
        let above = match random.below(3) {
            0 => found.len() - 1,
            1 => random.below(3) as usize,
            _ => random.below(found.len() as u64) as usize,
        };
        let above = if (3..trees).contains(&above) { random.below(3) as usize } else { above };
        let deep = found[above].components().count() > 18;
        let above = if deep { random.below(3) as usize } else { above };
        let name = names[random.below(names.len() as u64) as usize];
        found.push(found[above].join(format!("{name}-{number}")));
    }
    found
}

/// Decides on every file: where it lies, what it is, how long.
pub(crate) fn plans(
    random: &mut Random,
    bytes: u64,
    files: usize,
    folders: &[PathBuf],
) -> Vec<Plan> {
    let mut plans = Vec::new();
    for share in SHARES {
        let count = match share.kind {
            Kind::Log => 4 + files as u64 / 20_000,
            _ => (files as u64 * share.files).div_ceil(1000),
        };
        let sizes: Vec<f64> = (0..count).map(|_| (random.normal() * share.spread).exp()).collect();
        let scale = (bytes * share.bytes / 1000) as f64 / sizes.iter().sum::<f64>();
        for (number, size) in sizes.into_iter().enumerate() {
            let among = match share.kind {
                Kind::Log => 5..6,
                Kind::Image | Kind::Archive => 3..150,
                _ => 0..folders.len() as u64,
            };
            let folder = &folders[(among.start + random.below(among.end - among.start)) as usize];
            let ending = share.endings[random.below(share.endings.len() as u64) as usize];
            let path = folder.join(format!("{}-{number}.{ending}", STEMS[number % STEMS.len()]));
            let bytes = (size * scale) as u64;
            plans.push(Plan { path, kind: share.kind, bytes, seed: random.next() });
        }
    }
    plans
}

/// The names that people give files, again and again.
const STEMS: &[&str] = &[
    "index",
    "main",
    "user",
    "config",
    "helper",
    "model",
    "view",
    "list",
    "edit",
    "form",
    "style",
    "class-loader",
    "functions",
    "header",
    "footer",
    "logo",
    "banner",
    "photo",
    "IMG",
    "thumb",
];
