//! Keys as paths: where a listing begins, how it goes down, and how deletes go up again.
//!
//! Every path here is relative, has slashes between its parts, and is empty for `backup_dir`.

use crate::base::Key;

/// What a file system keeps for itself at its top, closed to everybody but root.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// Returns the one folder in which everything with `prefix` lies, and what names in it begin
/// with; `None` when no key can begin so.
pub(super) fn first_folder(prefix: &str) -> Option<(&str, &str)> {
    let (folder, name) = split(prefix);
    let is_possible = !prefix.contains('/') || Key::new(folder).is_ok();
    is_possible.then_some((folder, name))
}

/// Splits a path into its folder and its name there.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Returns the path of `name` in `folder`.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Gives `folder` and those above it, from the inside out; `backup_dir` itself is none of them.
pub(super) fn upwards(folder: &str) -> impl Iterator<Item = &str> {
    let folder = Some(folder).filter(|folder| !folder.is_empty());
    std::iter::successors(folder, |folder| folder.rsplit_once('/').map(|(above, _)| above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_begins_in_the_folder_of_its_prefix() {
        let cases = [
            ("", Some(("", ""))),
            ("a", Some(("", "a"))),
            ("a/", Some(("a", ""))),
            ("a/b/c", Some(("a/b", "c"))),
            ("..", Some(("", ".."))),
            ("/", None),
            ("/a", None),
            ("a//b", None),
            ("../b", None),
        ];
        for (prefix, should) in cases {
            assert_eq!(first_folder(prefix), should, "{prefix:?}");
        }
    }

    #[test]
    fn what_is_split_is_joined_again() {
        for path in ["a", "a/b", "a/b/c"] {
            let (folder, name) = split(path);
            assert_eq!(join(folder, name), path);
        }
    }

    #[test]
    fn the_way_up_ends_below_the_top() {
        assert_eq!(upwards("a/b/c").collect::<Vec<_>>(), ["a/b/c", "a/b", "a"]);
        assert_eq!(upwards("").count(), 0);
    }
}
