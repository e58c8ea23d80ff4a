//! Where a member goes: its path as the archive has it, turned into names below the target.

use std::ffi::CString;

/// What is done to paths.
pub(crate) struct Rules<'a> {
    /// Only what lies below goes anywhere, without it.
    pub(crate) strip: Option<&'a [u8]>,
    /// Everything goes here instead.
    pub(crate) rename: Option<&'a [u8]>,
}

impl Rules<'_> {
    /// Turns a path into names; `None` when it lies outside of what is meant.
    ///
    /// Errors: words for a path that could lead out of the target.
    pub(crate) fn place(
        &self,
        path: &[u8],
        is_folder: bool,
    ) -> Result<Option<Vec<CString>>, String> {
        let mut names = names(self.rename.unwrap_or(path))?;
        if let Some(strip) = self.strip {
            let above = self::names(strip)?;
            if !names.starts_with(&above) {
                return Ok(None);
            }
            let kept = match names.len() == above.len() {
                true if is_folder => return Ok(None),
                true => above.len().saturating_sub(1),
                false => above.len(),
            };
            names.drain(..kept);
        }
        Ok(Some(names))
    }
}

/// Splits a path at its slashes; slashes at its ends, double ones and `.` mean nothing.
fn names(path: &[u8]) -> Result<Vec<CString>, String> {
    let parts = path.split(|byte| *byte == b'/');
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    parts
        .map(|part| match part {
            b".." => Err("its path holds '..' and could lead out of the target".to_owned()),
            part => CString::new(part).map_err(|_| "its path holds a NUL".to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_target() {
        let plain = Rules { strip: None, rename: None };
        let go = |path: &str| plain.place(path.as_bytes(), false);
        assert_eq!(go("/etc//./hosts").unwrap().unwrap(), [c"etc".into(), c"hosts".into()]);
        assert_eq!(go("./").unwrap().unwrap(), []);
        for bad in ["..", "a/../b", "/../a", "a/.."] {
            assert!(go(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn stripping_leaves_what_lies_below() {
        let rules = Rules { strip: Some(b"/srv/www/"), rename: None };
        let go = |path: &str, is_folder| rules.place(path.as_bytes(), is_folder).unwrap();
        assert_eq!(go("srv/www/a/b", false).unwrap(), [c"a".into(), c"b".into()]);
        assert_eq!(go("srv/www/", true), None);
        assert_eq!(go("srv/www", false).unwrap(), [c"www".into()]);
        assert_eq!(go("srv/www2/a", false), None);
    }
}
