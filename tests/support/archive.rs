//! Packs and unpacks in a test's own thread, with stock tar beside it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use nxs_backup::archive::{
    ChainOptions, IndexFile, IndexWriter, PackOptions, Packed, UnpackError, UnpackOptions,
    Unpacked, pack, unpack,
};
use nxs_backup::base::{ArtefactId, Cancel, Warnings, chain};
use nxs_backup::stream::{ByteStream, Codec, Frames, Pending, Tree};
use tempfile::TempDir;

/// A tree that is read where it lies.
pub(crate) struct Plain {
    root: PathBuf,
    stored_as: PathBuf,
    excludes: Vec<Vec<u8>>,
}

/// What came of packing.
pub(crate) struct Done {
    pub(crate) tar: Vec<u8>,
    pub(crate) files: u64,
    pub(crate) warnings: Warnings,
    pub(crate) index: IndexFile,
}

impl Plain {
    /// A tree that is stored under its own path.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), stored_as: root.to_owned(), excludes: Vec::new() }
    }

    /// The same tree, stored elsewhere.
    pub(crate) fn stored_as(self, path: &str) -> Self {
        Self { stored_as: path.into(), ..self }
    }

    /// The same tree without the stored path `path`.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.excludes.push(path.as_bytes().to_vec());
        self
    }

    /// Packs the tree.
    pub(crate) fn pack(self) -> Done {
        self.try_pack(&mut |_| {}).unwrap()
    }

    /// Begins to pack the tree.
    pub(crate) fn begin(self) -> (ByteStream, Pending<Packed>) {
        self.begin_with(&id(), None)
    }

    fn begin_with(
        self,
        id: &ArtefactId,
        chain: Option<ChainOptions>,
    ) -> (ByteStream, Pending<Packed>) {
        let scratch = tempfile::tempdir().unwrap();
        let index = IndexWriter::create(scratch.path(), id).unwrap();
        let (cancel, progress) = (Cancel::default(), Arc::new(|_| {}));
        let chunk_bytes = Codec::None.chunk_bytes();
        let options = PackOptions { index, chunk_bytes, cancel, progress, chain };
        pack(Box::new(self), options)
    }

    /// Packs the tree; `look` sees each chunk before the next one is asked for.
    pub(crate) fn try_pack(self, look: &mut dyn FnMut(&[u8])) -> Result<Done, String> {
        Self::finish(self.begin(), look)
    }

    /// Packs the tree as one of a chain.
    pub(crate) fn pack_in_chain(self, options: ChainOptions) -> Done {
        let id = options.artefact.clone();
        Self::finish(self.begin_with(&id, Some(options)), &mut |_| {}).unwrap()
    }

    fn finish(
        (mut stream, packed): (ByteStream, Pending<Packed>),
        look: &mut dyn FnMut(&[u8]),
    ) -> Result<Done, String> {
        let mut tar = Vec::new();
        while let Some(chunk) = stream.blocking_next().map_err(|error| chain(&error))? {
            look(&chunk);
            tar.extend_from_slice(&chunk);
        }
        let packed = wait(packed);
        assert_eq!(packed.raw_bytes, tar.len() as u64);
        let frame_bytes = 1 << 20;
        let starts: Vec<u64> =
            (0..packed.raw_bytes.div_ceil(frame_bytes)).map(|n| n * 1000).collect();
        let (raw_bytes, stored_bytes) = (packed.raw_bytes, starts.len() as u64 * 1000);
        let frames = Frames { raw_bytes, stored_bytes, frame_bytes, starts };
        let index = packed.index.finish(&frames).unwrap();
        Ok(Done { tar, files: packed.files, warnings: packed.warnings, index })
    }
}

impl Tree for Plain {
    fn root(&self) -> &Path {
        &self.root
    }
    fn stored_as(&self) -> &Path {
        &self.stored_as
    }
    fn excludes(&self, path: &[u8]) -> bool {
        self.excludes.iter().any(|excluded| excluded == path)
    }
}

/// Reads a stream to its end and returns how many members it had.
pub(crate) fn drain(mut stream: ByteStream, packed: Pending<Packed>) -> u64 {
    while stream.blocking_next().unwrap().is_some() {}
    wait(packed).files
}

fn wait(packed: Pending<Packed>) -> Packed {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(packed.get()).unwrap()
}

/// The artefact that tests pack.
pub(crate) fn id() -> ArtefactId {
    ArtefactId::from_text("20261121T120000Z-00000000-1")
}

/// Everything, into an empty folder.
pub(crate) fn options() -> UnpackOptions {
    UnpackOptions {
        strip: None,
        expected: None,
        rename: None,
        members: None,
        overwrite: false,
        progress: Arc::new(|_| {}),
        cancel: Cancel::default(),
    }
}

/// Unpacks everything with our own restore.
pub(crate) fn restore(tar: &[u8], into: &Path) -> Result<Unpacked, UnpackError> {
    unpack(tar, into, &options())
}

/// Unpacks with the machine's tar, told to keep all that there is.
pub(crate) fn stock_extract(tar: &[u8], into: &Path, locale: &str) -> Output {
    fs::create_dir_all(into).unwrap();
    let keep = [
        "-x",
        "-p",
        "--warning=no-timestamp",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "--acls",
    ];
    feed(Command::new("tar").env("LC_ALL", locale).arg("-C").arg(into).args(keep), tar)
}

/// Packs the folder `name` in `at` with the machine's tar.
pub(crate) fn stock_create(at: &Path, name: &str, options: &[&str]) -> Vec<u8> {
    let keep = ["-c", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"];
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(at).args(keep).args(options).arg("--").arg(name);
    let output = tar.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs a command with `input` on its stdin.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}

/// A folder for a test that goes with all its depth in the end.
pub(crate) struct Bed(Option<TempDir>);

impl Bed {
    /// Makes an empty folder.
    pub(crate) fn new() -> Self {
        Self(Some(tempfile::tempdir().unwrap()))
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.as_ref().unwrap().path().join(name)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take() {
            // Paths may be longer than the system takes at once, and folders closed.
            let folder = folder.keep();
            Command::new("chmod").arg("-R").arg("u+rwx").arg(&folder).output().ok();
            Command::new("rm").arg("-rf").arg(folder).status().ok();
        }
    }
}
