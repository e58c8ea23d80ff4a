//! A journal outlives its run exactly when something is open in it.

use tempfile::TempDir;

use super::*;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn open(state: &TempDir) -> Journal {
    let now = jiff::Timestamp::from_second(1_763_700_000).unwrap();
    Journal::open(state.path(), &RunId::new(now, "web1", "site")).unwrap()
}

async fn put(journal: &Journal, name: &str) {
    let manifest = format!("{name}.manifest.json");
    journal.putting("fp", "offsite", &key(name), &key(&manifest)).await.unwrap();
}

fn only_file(state: &TempDir) -> PathBuf {
    let mut entries = fs::read_dir(state.path().join("journal")).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    path
}

#[tokio::test]
async fn a_settled_journal_leaves_no_file() {
    let state = TempDir::new().unwrap();
    let journal = open(&state);
    put(&journal, "a/x").await;
    let keys = vec![key("b/y.manifest.json"), key("b/y")];
    journal.deleting("fp", "offsite", keys).await.unwrap();
    journal.deleted("fp", &key("b/y.manifest.json")).unwrap();
    journal.done("fp", &key("a/x")).unwrap();
    journal.finish().unwrap();
    assert_eq!(fs::read_dir(state.path().join("journal")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_open_can_be_read_once_the_run_is_dead_and_not_before() {
    let state = TempDir::new().unwrap();
    assert!(dead(state.path()).unwrap().is_empty());
    let journal = open(&state);
    put(&journal, "a/x").await;
    put(&journal, "a/y").await;
    journal.done("other place", &key("a/x")).unwrap();
    journal.done("fp", &key("a/y")).unwrap();
    assert!(dead(state.path()).unwrap().is_empty(), "the run lives");
    drop(journal);
    let mut found = dead(state.path()).unwrap();
    assert!(dead(state.path()).unwrap().is_empty(), "somebody is at it");
    let left = &mut found[0];
    let (place, place_name) = ("fp".into(), "offsite".into());
    let expected =
        Open::Putting { place, place_name, key: key("a/x"), manifest: key("a/x.manifest.json") };
    assert_eq!(left.open, std::slice::from_ref(&expected));
    left.settle(&expected).unwrap();
    found.pop().unwrap().finish().unwrap();
    assert_eq!(fs::read_dir(state.path().join("journal")).unwrap().count(), 0);
}

#[tokio::test]
async fn finishing_with_something_open_leaves_it_to_the_sweep() {
    let state = TempDir::new().unwrap();
    let journal = open(&state);
    put(&journal, "a/x").await;
    journal.finish().unwrap();
    assert_eq!(dead(state.path()).unwrap()[0].open.len(), 1);
}

#[tokio::test]
async fn a_line_cut_off_by_a_crash_was_never_acted_upon() {
    let state = TempDir::new().unwrap();
    let journal = open(&state);
    put(&journal, "a/x").await;
    put(&journal, "a/y").await;
    drop(journal);
    let path = only_file(&state);
    let text = fs::read(&path).unwrap();
    for end in (0..text.len()).rev() {
        fs::write(&path, &text[..end]).unwrap();
        let whole = text[..end].iter().filter(|byte| **byte == b'\n').count();
        let found = dead(state.path()).unwrap();
        assert_eq!(found.iter().map(|journal| journal.open.len()).sum::<usize>(), whole);
        assert!(found.iter().all(|journal| journal.unreadable == 0));
        drop(found);
        let again = dead(state.path()).unwrap();
        assert!(again.iter().all(|journal| journal.unreadable == 0), "cut at {end}");
    }
}

#[tokio::test]
async fn a_line_that_makes_no_sense_keeps_the_file() {
    let state = TempDir::new().unwrap();
    let journal = open(&state);
    put(&journal, "a/x").await;
    drop(journal);
    let path = only_file(&state);
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"do\":\"something newer\"}\n");
    fs::write(&path, text).unwrap();
    let mut found = dead(state.path()).unwrap().pop().unwrap();
    assert_eq!((found.open.len(), found.unreadable), (1, 1));
    let open = found.open[0].clone();
    found.settle(&open).unwrap();
    found.finish().unwrap();
    assert_eq!(dead(state.path()).unwrap()[0].open, []);
}

#[test]
fn opening_and_looking_for_the_dead_do_not_get_in_each_others_way() {
    let state = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            for _ in 0..300 {
                assert!(dead(state.path()).unwrap().is_empty());
            }
        });
        while !looking.is_finished() {
            let journal = open(&state);
            assert!(journal.lock().path.exists());
            journal.finish().unwrap();
        }
    });
}
