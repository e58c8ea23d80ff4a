//! Whether a file may be believed: run by root, nobody else may have written it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

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
}

/// What to do about a doubt.
pub(crate) const TRUST_HINT: &str = "`chown root` and `chmod go-w` it, \
     or set NXS_BACKUP_TRUST_CONFIG=1 where its owner is trusted as root is";
