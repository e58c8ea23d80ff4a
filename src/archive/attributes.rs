//! Extended attributes and access lists of one thing, as PAX records.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs;
use rustix::io::{Errno, Result};

use crate::archive::acl;
use crate::archive::header::Records;

/// Where attributes are read from.
#[derive(Clone, Copy)]
pub(crate) enum Bearer<'a> {
    /// An open file or folder.
    Open(&'a OwnedFd),
    /// A name in an open folder, for what must not be opened.
    Named(&'a OwnedFd, &'a CStr),
}

/// Reads attributes, and remembers which file systems have none.
#[derive(Default)]
pub(crate) struct Attributes {
    /// Devices whose file system keeps none, for what can be opened and for the rest.
    without: HashSet<(u64, bool)>,
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Attributes {
    /// Adds the attributes of a thing on the device `dev` to `records`.
    ///
    /// Errors: the first attribute that is there and cannot be read.
    pub(crate) fn read(&mut self, bearer: Bearer, dev: u64, records: &mut Records) -> Result<()> {
        let group = (dev, matches!(bearer, Bearer::Open(_)));
        if self.without.contains(&group) {
            return Ok(());
        }
        match bearer.list(&mut self.names) {
            Err(Errno::NOTSUP) => {
                self.without.insert(group);
                return Ok(());
            }
            // Not to be asked about by a path: no /proc, or gone meanwhile.
            Err(_) if matches!(bearer, Bearer::Named(..)) => return Ok(()),
            other => other?,
        }
        let names = std::mem::take(&mut self.names);
        let mut worst = Ok(());
        for name in names.split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            match bearer.value(name, &mut self.value) {
                Ok(()) => add(name.to_bytes(), &self.value, records),
                // Gone meanwhile, or listed by a file system that cannot give it.
                Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(error) => worst = Err(error),
            }
        }
        self.names = names;
        worst
    }
}

impl Bearer<'_> {
    fn list(self, names: &mut Vec<u8>) -> Result<()> {
        grow(names, |buffer| match self {
            Self::Open(fd) => fs::flistxattr(fd, buffer),
            Self::Named(at, name) => fs::llistxattr(way(at, name), buffer),
        })
    }

    fn value(self, key: &CStr, value: &mut Vec<u8>) -> Result<()> {
        grow(value, |buffer| match self {
            Self::Open(fd) => fs::fgetxattr(fd, key, buffer),
            Self::Named(at, name) => fs::lgetxattr(way(at, name), key, buffer),
        })
    }
}

/// The way to `name` in the open folder `at` for calls that know only paths.
pub(crate) fn way(at: impl AsFd, name: &CStr) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", at.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    path
}

/// Calls `ask` with more and more room until the answer fits.
fn grow(buffer: &mut Vec<u8>, ask: impl Fn(&mut [u8]) -> Result<usize>) -> Result<()> {
    let mut room = 1024;
    loop {
        buffer.resize(room, 0);
        match ask(buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(());
            }
            Err(Errno::RANGE) if room < LONGEST => room *= 8,
            Err(error) => return Err(error),
        }
    }
}

fn add(name: &[u8], value: &[u8], records: &mut Records) {
    let list = match name {
        b"system.posix_acl_access" => b"SCHILY.acl.access".as_slice(),
        b"system.posix_acl_default" => b"SCHILY.acl.default",
        _ => {
            let mut key = b"SCHILY.xattr.".to_vec();
            for byte in name {
                match byte {
                    b'%' => key.extend_from_slice(b"%25"),
                    b'=' => key.extend_from_slice(b"%3D"),
                    _ => key.push(*byte),
                }
            }
            return records.add(&key, value);
        }
    };
    if let Some(text) = acl::to_text(value) {
        records.add(list, text.as_bytes());
    }
}

/// The kernel's limit is 64 KiB for a value and for a list.
const LONGEST: usize = 1 << 19;
