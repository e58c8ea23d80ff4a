//! Names: as promised, never too long, and recognised again.

use super::*;

fn names() -> Names {
    Names {
        part: vec![b"site1".to_vec()],
        base: b"site1".to_vec(),
        ext: "tar".into(),
        suffix: ".zst".into(),
        ..Names::default()
    }
}

fn stamp() -> civil::DateTime {
    civil::datetime(2026, 11, 1, 2, 30, 5, 0)
}

#[test]
fn keys_are_those_of_the_formats_page() {
    let first = names().artefact_key(Level::Monthly, stamp(), 1);
    assert_eq!(first.as_str(), "site1/monthly/site1_2026-11-01_02-30-05.tar.zst");
    let again = names().artefact_key(Level::Daily, stamp(), 2);
    assert_eq!(again.as_str(), "site1/daily/site1_2026-11-01_02-30-05-2.tar.zst");
    assert_eq!(manifest_key(&first).name(), "site1_2026-11-01_02-30-05.tar.zst.manifest.json");
    assert_eq!(index_key(&first).name(), "site1_2026-11-01_02-30-05.tar.zst.index.zst");
    assert_eq!(segment_key(&first, 1).unwrap(), first);
    assert_eq!(segment_key(&first, 2).unwrap().name(), "site1_2026-11-01_02-30-05.tar.zst.002");
    assert_eq!(segment_key(&first, 999).unwrap().name(), "site1_2026-11-01_02-30-05.tar.zst.999");
    assert!(segment_key(&first, 1000).unwrap_err().to_string().contains("larger `split`"));
}

#[test]
fn folders_stand_in_the_order_server_source_part() {
    let full = Names {
        server: Some("web/1".into()),
        source: Some("main db".into()),
        part: vec![b"a".to_vec(), Vec::new(), b"..".to_vec()],
        ..names()
    };
    assert_eq!(full.folder(), "web%2F1/main db/a/%2E%2E/");
    assert!(full.folder().starts_with(&server_folder("web/1")));
    let bare = Names { part: Vec::new(), base: b"redis".to_vec(), ext: "rdb".into(), ..names() };
    assert_eq!(bare.folder(), "");
    let key = bare.artefact_key(Level::Daily, stamp(), 1);
    assert_eq!(key.as_str(), "daily/redis_2026-11-01_02-30-05.rdb.zst");
}

#[test]
fn one_target_is_no_prefix_of_another() {
    let (one, ten) = (
        Names { part: vec![b"db1".to_vec()], ..names() },
        Names { part: vec![b"db10".to_vec()], ..names() },
    );
    assert!(!ten.artefact_key(Level::Daily, stamp(), 1).as_str().starts_with(&one.folder()));
}

#[test]
fn no_name_is_too_long_for_a_file_system() {
    for piece in [b"a".as_slice(), b"\xff", "\u{e4}".as_bytes(), b"%"] {
        let long = Names {
            part: vec![piece.repeat(400)],
            base: piece.repeat(400),
            ext: String::from_utf8_lossy(&piece.repeat(100)).into_owned(),
            suffix: ".zst.age".into(),
            ..Names::default()
        };
        let first = long.artefact_key(Level::Daily, stamp(), 999);
        let temporary = manifest_key(&first).partial("4194304-12345678");
        for part in temporary.as_str().split('/') {
            assert!(part.len() < 255, "{} bytes: {part}", part.len());
        }
        assert_eq!(parse(&first).unwrap().stamp, stamp());
    }
}

#[test]
fn every_made_name_is_recognised_with_all_that_it_says() {
    let tricky = Names { base: b"a_2020-01-01_00-00-00.tar".to_vec(), ..names() };
    let bare = Names { ext: String::new(), suffix: String::new(), ..names() };
    let sealed = Names { suffix: ".zst.age".into(), ..names() };
    for names in [names(), tricky, bare, sealed] {
        for again in [1, 2, 10] {
            let first = names.artefact_key(Level::Weekly, stamp(), again);
            let second = segment_key(&first, 2).unwrap();
            let sealed_index = index_key(&first).with_suffix(".age");
            for (key, piece) in [
                (&first, Piece::Segment(1)),
                (&second, Piece::Segment(2)),
                (&index_key(&first), Piece::Index),
                (&sealed_index, Piece::Index),
                (&manifest_key(&first), Piece::Manifest),
            ] {
                let parsed = parse(key).unwrap_or_else(|| panic!("{key} is not recognised"));
                let found = (parsed.level, parsed.stamp, parsed.again, parsed.piece);
                assert_eq!(found, (Level::Weekly.into(), stamp(), again, piece), "{key}");
                assert_eq!(parsed.artefact, first);
                assert_eq!(parsed.folder, names.folder());
                assert_eq!(parsed.base.as_bytes(), names.base);
            }
        }
    }
}

#[test]
fn names_of_increments_are_recognised_too() {
    use crate::base::Step;
    let cases = [
        (Step::Year, "/2026/year/"),
        (Step::Month, "/2026/month_11/monthly/"),
        (Step::Decade, "/2026/month_11/daily/day_"),
        (Step::Day, "/2026/month_11/daily/day_"),
        (Step::Level(0), "/chain_2026-01-02_03-04-05/L0_"),
        (Step::Level(12), "/chain_2026-01-02_03-04-05/L12_"),
    ];
    let names = Names { base: b"a_L2_b".to_vec(), ..names() };
    let chain = civil::date(2026, 1, 2).at(3, 4, 5, 0);
    for (step, within) in cases {
        let first = names.step_key(step, chain, stamp(), 2);
        assert!(first.as_str().contains(within), "{first}");
        let parsed = parse(&manifest_key(&first)).unwrap_or_else(|| panic!("{first}"));
        let step = if step == Step::Decade { Step::Day } else { step };
        assert_eq!((parsed.level, parsed.again), (step.into(), 2));
        assert_eq!((parsed.folder, parsed.stamp), (names.folder(), stamp()));
        assert_eq!((parsed.base.as_bytes(), parsed.artefact), (&*names.base, first));
    }
    for (day, folder) in [(1, "day_01"), (10, "day_01"), (11, "day_11"), (31, "day_21")] {
        let stamp = civil::date(2026, 1, day).at(0, 0, 0, 0);
        assert!(names.step_key(Step::Day, chain, stamp, 1).as_str().contains(folder));
    }
}

#[test]
fn foreign_names_are_not_taken_for_ours() {
    for foreign in [
        "site1/daily/site1_2026-11-01_02-30.tar.gz",
        "site1/daily/1-site1_2026-11-01_02-30.sql.gz",
        "site1/hourly/site1_2026-11-01_02-30-05.tar",
        "site1_2026-11-01_02-30-05.tar",
        "site1/daily/site1_2026-13-01_02-30-05.tar",
        "site1/daily/site1_2026-11-01_02-30-05x.tar",
        "site1/daily/site1_2026-11-01_02-30-05-x.tar",
        "site1/daily/site1_2026-11-01_02-30-05-1.tar",
        "site1/daily/2026-11-01_02-30-05.tar",
        "site1/2026/year/site1_2026-01-01_02-30.tar.gz",
        "site1/2026/month_11/daily/day_11/site1_2026-11-11_02-30.tar",
        "site1/2026/month_11/daily/day_12/site1_2026-11-11_02-30-05.tar",
        "site1/year/site1_2026-01-01_02-30-05.tar",
        "site1/chain_x/L0_site1_2026-01-01_02-30-05.tar",
        "site1/daily/notes.txt",
        ".nxs-backup.json",
    ] {
        assert_eq!(parse(&Key::new(foreign).unwrap()), None, "{foreign}");
    }
}

#[test]
fn a_manifest_is_known_by_its_end() {
    let key = |text: &str| Key::new(text).unwrap();
    assert!(is_manifest(&key("a/daily/x.tar.manifest.json")));
    assert!(!is_manifest(&key("a/daily/.manifest.json")));
    assert!(!is_manifest(&key("a/daily/x.tar.manifest.json.gz")));
}
