//! The index beside an artefact: small, complete, and read only where it must be.

use std::fs;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use nxs_backup::archive::{
    Entry, EntryKind, Expected, IndexError, IndexFile, IndexReader, IndexWriter, Ranges, Selection,
    unpack,
};
use nxs_backup::base::{ArtefactId, BoxError};
use nxs_backup::stream::Frames;

use crate::support::archive::{Bed, Plain, id, options};
use crate::support::tree;

/// An index in memory that counts what is read of it.
struct Counted {
    bytes: Bytes,
    read: Arc<AtomicU64>,
}

#[async_trait]
impl Ranges for Counted {
    async fn read(&self, part: Range<u64>) -> Result<Bytes, BoxError> {
        self.read.fetch_add(part.end - part.start, Ordering::Relaxed);
        let end = part.end.min(self.bytes.len() as u64);
        Ok(self.bytes.slice(part.start.min(end) as usize..end as usize))
    }
}

fn bytes_of(file: &mut IndexFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, file.bytes);
    bytes
}

async fn open(bytes: &[u8], last: u64) -> Result<(IndexReader, Arc<AtomicU64>), IndexError> {
    let read = Arc::new(AtomicU64::new(0));
    let ranges = Counted { bytes: Bytes::copy_from_slice(bytes), read: Arc::clone(&read) };
    let reader = IndexReader::open(Box::new(ranges), bytes.len() as u64, last, &id()).await?;
    Ok((reader, read))
}

/// An index of `count` files in folders of a thousand.
fn large(count: u64) -> IndexFile {
    let scratch = tempfile::tempdir().unwrap();
    let mut index = IndexWriter::create(scratch.path(), &id()).unwrap();
    for number in 0..count {
        index.add(&entry(number)).unwrap();
    }
    let starts = (0..100).map(|frame| frame * 1_000_003).collect();
    let frames =
        Frames { raw_bytes: 100 << 22, stored_bytes: 100_000_300, frame_bytes: 1 << 22, starts };
    index.finish(&frames).unwrap()
}

fn entry(number: u64) -> Entry {
    let hash = blake3::hash(&number.to_le_bytes());
    let noise = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
    let path = format!("srv/www/site/folder-{:04}/file-{:04}.php", number / 1000, number % 1000);
    Entry {
        path: path.into_bytes(),
        kind: EntryKind::File,
        size: noise % 50_000,
        mtime_ns: 1_700_000_000_000_000_000 + (noise >> 8) as i64 % 1_000_000_000_000_000,
        ctime_ns: 1_750_000_000_000_000_000 + (number * 100_000) as i64 + noise as i64 % 90_000,
        dev: 2049,
        ino: 1_000_000 + number,
        mode: 0o644,
        uid: 33,
        gid: 33,
        link: None,
        digest: Some(hash.as_bytes()[..16].try_into().unwrap()),
        pax: None,
        artefact: None,
        offset: number * 27_136,
        data_offset: None,
        fresh: false,
    }
}

#[tokio::test]
async fn every_entry_comes_back_as_it_was_and_any_one_is_found() {
    let mut file = large(20_000);
    let bytes = bytes_of(&mut file);
    let (reader, read) = open(&bytes, file.last_frame).await.unwrap();
    let opened = read.load(Ordering::Relaxed);
    let mut entries = reader.all();
    for number in 0..20_000 {
        assert_eq!(entries.next().await.unwrap().unwrap(), entry(number));
    }
    assert!(entries.next().await.unwrap().is_none());
    for number in [0, 1, 9_999, 19_999] {
        let wanted = entry(number);
        let before = read.load(Ordering::Relaxed);
        assert_eq!(reader.find(&wanted.path).await.unwrap().unwrap(), wanted);
        let spent = read.load(Ordering::Relaxed) - before;
        assert!(spent < file.bytes / 3, "{spent} of {} bytes were read", file.bytes);
    }
    assert!(opened < file.bytes / 3, "opening read {opened} of {} bytes", file.bytes);
    for absent in ["", "a", "srv/www/site/folder-0000", "zzz"] {
        assert!(reader.find(absent.as_bytes()).await.unwrap().is_none(), "{absent}");
    }
}

#[tokio::test]
async fn a_glob_reads_only_the_frames_that_may_match() {
    let mut file = large(40_000);
    let bytes = bytes_of(&mut file);
    let (reader, read) = open(&bytes, file.last_frame).await.unwrap();
    let before = read.load(Ordering::Relaxed);
    let meant = Selection::new(&["/srv/www/site/folder-0007/file-00*".to_owned()]).unwrap();
    let mut entries = reader.matching(&meant);
    let mut count = 0;
    while let Some(entry) = entries.next().await.unwrap() {
        assert!(entry.path.starts_with(b"srv/www/site/folder-0007/file-00"));
        count += 1;
    }
    assert_eq!(count, 100);
    let spent = read.load(Ordering::Relaxed) - before;
    assert!(spent < file.bytes / 3, "{spent} of {} bytes were read", file.bytes);
}

#[tokio::test]
async fn a_line_takes_few_bytes_even_of_noise() {
    let file = large(100_000);
    // Sixteen of them are the digest; real trees need fewer, their times and sizes are alike.
    assert!(file.bytes < 100_000 * 55, "{} bytes for 100,000 entries", file.bytes);
}

#[tokio::test]
async fn raw_offsets_lead_to_frames() {
    let mut file = large(10);
    let bytes = bytes_of(&mut file);
    let (reader, _) = open(&bytes, file.last_frame).await.unwrap();
    assert_eq!(reader.locate(0), Some((0, 0)));
    assert_eq!(reader.locate((1 << 22) + 5), Some((1_000_003, 5)));
    assert_eq!(reader.locate((100 << 22) - 1), Some((99 * 1_000_003, (1 << 22) - 1)));
    assert_eq!(reader.locate(100 << 22), None);
}

#[tokio::test]
async fn a_cut_damaged_newer_or_foreign_index_is_told_apart() {
    let mut file = large(3_000);
    let bytes = bytes_of(&mut file);
    let last = file.last_frame;
    for end in [0, 1, last - 1, last, last + 1, file.bytes - 1] {
        let got = open(&bytes[..end as usize], last).await.map(drop);
        assert!(matches!(got, Err(IndexError::Cut)), "cut at {end}: {got:?}");
    }
    let mut unseen = 0;
    for at in (0..bytes.len()).step_by(401) {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        let Ok((reader, _)) = open(&bad, last).await else { continue };
        let mut entries = reader.all();
        loop {
            match entries.next().await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    unseen += 1;
                    break;
                }
                Err(error) => {
                    assert!(matches!(error, IndexError::Damaged(_) | IndexError::Cut), "{error}");
                    break;
                }
            }
        }
    }
    assert_eq!(unseen, 0, "flipped bits went unseen");

    let foreign = ArtefactId::from_text("another");
    let ranges = Counted { bytes: bytes.clone().into(), read: Arc::default() };
    let got = IndexReader::open(Box::new(ranges), file.bytes, last, &foreign).await.map(drop);
    assert!(matches!(got, Err(IndexError::Other { .. })), "{got:?}");

    let head = zstd::bulk::compress(b"{\"format\":2,\"anything\":true}\n", 3).unwrap();
    let newer = [head.as_slice(), &bytes[last as usize..]].concat();
    let got = open(&newer, head.len() as u64).await.map(drop).unwrap_err();
    assert!(got.to_string().contains("has format 2"), "{got}");
}

#[tokio::test]
async fn each_member_of_a_hostile_tree_is_restored_alone_by_its_offset() {
    let bed = Bed::new();
    let root = bed.path("in/tree");
    let planted = root.clone();
    let (mut done, before) = tokio::task::spawn_blocking(move || {
        tree::plant(&planted);
        let done = std::thread::spawn({
            let planted = planted.clone();
            move || Plain::new(&planted).stored_as("/tree").pack()
        });
        (done.join().unwrap(), tree::read(&planted))
    })
    .await
    .unwrap();
    let bytes = bytes_of(&mut done.index);
    let (reader, _) = open(&bytes, done.index.last_frame).await.unwrap();
    let mut entries = reader.all();
    let (mut count, mut last) = (0, Vec::new());
    while let Some(entry) = entries.next().await.unwrap() {
        let key =
            |path: &[u8]| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert!(count == 0 || key(&last) < key(&entry.path), "{:?} is out of order", entry.path);
        if key(&entry.path).len() < 20 {
            alone(&bed, &done.tar, &entry);
        }
        (count, last) = (count + 1, entry.path);
    }
    assert_eq!(count, before.len());
}

#[tokio::test]
async fn only_what_is_meant_is_unpacked_and_must_be_what_its_line_says() {
    let bed = Bed::new();
    for file in ["in/a/x", "in/a/y", "in/b/x"] {
        fs::create_dir_all(bed.path(file).parent().unwrap()).unwrap();
        fs::write(bed.path(file), file).unwrap();
    }
    let root = bed.path("in");
    let pack = move || Plain::new(&root).stored_as("/srv/in").pack();
    let mut done = tokio::task::spawn_blocking(pack).await.unwrap();
    let bytes = bytes_of(&mut done.index);
    let (reader, _) = open(&bytes, done.index.last_frame).await.unwrap();
    let meant = Selection::new(&["**/x".to_owned()]).unwrap();
    let (mut lines, mut entries) = (reader.matching(&meant), Vec::new());
    while let Some(entry) = lines.next().await.unwrap() {
        entries.push(entry);
    }
    let try_with = |out: &str, start: u64, change: &dyn Fn(&mut Entry)| {
        let mut options = options();
        let changed = entries.iter().cloned().map(|mut entry| {
            change(&mut entry);
            (entry.path.clone(), entry)
        });
        options.expected = Some(Expected { entries: changed.collect(), start, stops: false });
        unpack(done.tar.as_slice(), &bed.path(out), &options)
    };
    assert_eq!(try_with("out", 0, &|_| {}).unwrap().files, 2);
    let names: Vec<_> = tree::read(&bed.path("out/srv/in")).into_keys().collect();
    assert_eq!(names, ["", "a", "a/x", "b", "b/x"].map(std::path::PathBuf::from));
    assert_eq!(try_with("elsewhere", 512, &|_| {}).unwrap().files, 0);
    type Change = fn(&mut Entry);
    let changes: [(&str, Change); 5] = [
        ("its time", |entry| entry.mtime_ns += 1),
        ("its mode", |entry| entry.mode ^= 1),
        ("its owner", |entry| entry.uid += 1),
        ("its size", |entry| entry.size += 1),
        ("one of its attributes", |entry| entry.pax = Some([0; 8])),
    ];
    for (what, change) in changes {
        let error = try_with(what, 0, &change).unwrap_err().to_string();
        assert!(error.contains(&format!("{what} is not what the index says")), "{error}");
    }
}

/// Restores one member from where the index says, under its own path, and compares it.
fn alone(bed: &Bed, tar: &[u8], entry: &Entry) {
    let out = bed.path("alone");
    let mut options = options();
    options.members = Some(1);
    options.rename = Some(entry.path.clone());
    let offset = entry.data_offset.unwrap_or(entry.offset);
    let unpacked = unpack(&tar[offset as usize..], &out, &options).unwrap();
    assert_eq!((unpacked.files, unpacked.failed.count), (1, 0), "{:?}", unpacked.failed);
    let path = out.join(tree::path(&entry.path));
    let original = bed.path("in").join(tree::path(&entry.path));
    let (meta, wanted) = (path.symlink_metadata().unwrap(), original.symlink_metadata().unwrap());
    assert_eq!((meta.file_type(), meta.permissions()), (wanted.file_type(), wanted.permissions()));
    if meta.is_file() {
        let content = fs::read(&path).unwrap();
        assert_eq!(entry.size, content.len() as u64);
        let digest = (!content.is_empty()).then(|| blake3::hash(&content));
        if entry.kind == EntryKind::File {
            assert_eq!(
                entry.digest.as_ref().map(|d| &d[..]),
                digest.as_ref().map(|d| &d.as_bytes()[..16])
            );
        }
    }
    std::process::Command::new("rm").arg("-rf").arg(&out).status().unwrap();
}
