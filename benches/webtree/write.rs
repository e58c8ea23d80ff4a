//! Files, links and times on the disk.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::plan::{Kind, Plan};
use crate::random::Random;
use crate::text::{Author, Words};

impl Plan {
    /// Writes the file below `out`.
    pub(crate) fn write(&self, out: &Path, words: &Words) -> io::Result<()> {
        let path = out.join(&self.path);
        let mut random = Random::new(self.seed);
        let mut file = BufWriter::with_capacity(1 << 18, File::create(&path)?);
        match self.kind {
            Kind::Image | Kind::Archive => noise(&mut file, &mut random, self.bytes)?,
            kind => Author::new(words, &mut random).write(&mut file, kind, self.bytes)?,
        }
        let file = file.into_inner()?;
        let mode = [0o644, 0o644, 0o644, 0o640, 0o600, 0o755][random.below(6) as usize];
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        drop(file);
        age(&path, random.below(YEARS))
    }
}

/// One entry in eighty gets a symbolic or a hard link beside it.
pub(crate) fn links(random: &mut Random, out: &Path, plans: &[Plan]) -> io::Result<()> {
    for plan in plans.iter().step_by(80) {
        let path = out.join(&plan.path);
        let beside = |ending: &str| PathBuf::from(format!("{}.{ending}", path.display()));
        if random.below(3) == 0 {
            fs::hard_link(&path, beside("hard"))?;
        } else {
            symlink(path.file_name().unwrap_or_default(), beside("link"))?;
        }
    }
    Ok(())
}

/// Makes one file of noise.
pub(crate) fn noise_file(out: &Path, seed: u64, bytes: u64) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(out)?);
    noise(&mut file, &mut Random::new(seed), bytes)?;
    file.flush()
}

/// Makes empty files, a thousand in a folder.
pub(crate) fn empty_tree(out: &Path, count: usize) -> io::Result<()> {
    for number in 0..count {
        let folder = out.join(format!("{:04}", number / 1000));
        if number % 1000 == 0 {
            fs::create_dir_all(&folder)?;
        }
        File::create(folder.join(format!("file-{:03}.txt", number % 1000)))?;
    }
    Ok(())
}

/// Gives a path a time in the past.
pub(crate) fn age(path: &Path, seconds: u64) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_763_700_000 - seconds, 123_456_789);
    File::open(path)?.set_modified(time)
}

/// Writes bytes that no compressor makes smaller.
fn noise(out: &mut impl Write, random: &mut Random, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    let mut block = [0_u8; 8192];
    while left > 0 {
        for eight in block.chunks_exact_mut(8) {
            eight.copy_from_slice(&random.next().to_le_bytes());
        }
        let taken = left.min(block.len() as u64);
        out.write_all(&block[..taken as usize])?;
        left -= taken;
    }
    Ok(())
}

/// How far back times go, in seconds.
pub(crate) const YEARS: u64 = 8 * 365 * 86_400;
