//! Names of users and groups, as `/etc/passwd` and `/etc/group` tell them.

use std::collections::HashMap;
use std::path::Path;

/// The names of one system, read once.
pub(crate) struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// Reads the names of this system; a file that cannot be read names nobody.
    pub(crate) fn read() -> Self {
        Self { users: names(Path::new("/etc/passwd")), groups: names(Path::new("/etc/group")) }
    }

    /// Returns the name of a user; empty when there is none.
    pub(crate) fn user(&self, uid: u32) -> &[u8] {
        self.users.get(&uid).map_or(b"", Vec::as_slice)
    }

    /// Returns the name of a group; empty when there is none.
    pub(crate) fn group(&self, gid: u32) -> &[u8] {
        self.groups.get(&gid).map_or(b"", Vec::as_slice)
    }

    /// Finds the number of a user.
    pub(crate) fn uid(&self, name: &[u8]) -> Option<u32> {
        number(&self.users, name)
    }

    /// Finds the number of a group.
    pub(crate) fn gid(&self, name: &[u8]) -> Option<u32> {
        number(&self.groups, name)
    }
}

/// Reads lines of `name:password:number:…`; the first line for a number holds.
fn names(path: &Path) -> HashMap<u32, Vec<u8>> {
    let text = std::fs::read(path).unwrap_or_default();
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, _password, id) = (fields.next(), fields.next(), fields.next());
        let id = id.and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        if let (Some(name), Some(id)) = (name, id) {
            names.entry(id).or_insert_with(|| name.to_vec());
        }
    }
    names
}

fn number(names: &HashMap<u32, Vec<u8>>, name: &[u8]) -> Option<u32> {
    names.iter().filter(|(_, known)| known.as_slice() == name).map(|(id, _)| *id).min()
}
