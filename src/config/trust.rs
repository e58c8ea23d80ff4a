//! Whether a file may be believed: run by root, nobody else may have written it, nor be able to
//! put another in its place.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Whose config is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Everybody's: we are not root, or somebody said so.
    Anyone,
    /// Only what root owns and nobody else may write.
    OnlyRoot,
}

impl Trust {
    /// Asks the process: root believes only root, unless `NXS_BACKUP_TRUST_CONFIG=1`.
    pub fn from_process() -> Self {
        let told = std::env::var_os("NXS_BACKUP_TRUST_CONFIG").is_some_and(|value| value == "1");
        if rustix::process::geteuid().is_root() && !told { Self::OnlyRoot } else { Self::Anyone }
    }

    /// Says why `meta` is not believed, if so.
    pub(crate) fn doubt(self, meta: &Metadata) -> Option<String> {
        if self == Self::Anyone {
            return None;
        }
        if meta.uid() != 0 {
            return Some(format!("it belongs to user {}, not to root", meta.uid()));
        }
        let mode = meta.mode() & 0o7777;
        (mode & 0o022 != 0).then(|| format!("others than root may write it (mode {mode:04o})"))
    }

    /// Says why the way to `path` is not believed, if so: whoever may write a folder on it, or
    /// one that a link on it leads through, may put another file in its place.
    pub(crate) fn doubt_way(self, path: &Path) -> Option<String> {
        if self == Self::Anyone {
            return None;
        }
        let mut here = std::env::current_dir().ok().filter(|_| path.is_relative());
        let mut ahead = names(&here.take().unwrap_or_default().join(path));
        let (mut here, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = ahead.pop_front() {
            // What the kernel shows there are no names that anybody could change.
            if here.starts_with("/proc") {
                return None;
            }
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            let inner = fs::symlink_metadata(&next).ok();
            if let Some(doubt) = self.doubt_folder(&here, inner.as_ref()) {
                return Some(format!("the folder {} on its way: {doubt}", here.display()));
            }
            match inner {
                Some(inner) if inner.is_symlink() && links < MOST_LINKS => {
                    links += 1;
                    let target = fs::read_link(&next).ok()?;
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    }
                    let mut through = names(&target);
                    through.append(&mut ahead);
                    ahead = through;
                }
                Some(_) => here = next,
                None => return None,
            }
        }
        None
    }

    /// In a folder such as /tmp, sticky and root's own, nobody else can touch what root owns; what
    /// is another's there is judged by itself, but for a link, which only leads on.
    fn doubt_folder(self, folder: &Path, inner: Option<&Metadata>) -> Option<String> {
        let meta = fs::metadata(folder).ok()?;
        let is_kept = meta.uid() == 0 && meta.mode() & 0o1000 != 0;
        match inner {
            Some(inner) if is_kept && inner.is_symlink() && inner.uid() != 0 => {
                Some(format!("a link there belongs to user {}, not to root", inner.uid()))
            }
            Some(_) if is_kept => None,
            _ => self.doubt(&meta),
        }
    }
}

/// Splits a path into the names on its way.
fn names(path: &Path) -> VecDeque<OsString> {
    let named = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|part| part.as_os_str().to_owned()).collect()
}

/// The kernel follows no more.
const MOST_LINKS: usize = 40;

/// What to do about a doubt.
pub(crate) const TRUST_HINT: &str = "`chown root` and `chmod go-w` it, \
     or set NXS_BACKUP_TRUST_CONFIG=1 where its owner is trusted as root is";
