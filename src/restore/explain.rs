//! The commands with which standard tools bring an artefact back.
//!
//! Which members are meant is looked up in the index: the globs of tar are others than ours, and
//! it fails for a name that is not there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::archive::{Entry, EntryKind, IndexReader, Selection};
use crate::base::{ArtefactId, display};
use crate::restore::apply::{Error, How, other, strip};
use crate::restore::holdings::Held;
use crate::restore::ranged::{is_lone_link, open_index};
use crate::stream::Codec;

/// How to bring one copy back with standard tools.
#[derive(Debug, Default)]
pub struct Explained {
    /// Commands and comments, quoted for a shell, one a line.
    pub lines: Vec<String>,
    /// Which of [`How::paths`], by their place in the list, something was found for.
    pub matched: BTreeSet<usize>,
}

/// Spells the commands for one copy; `into` is `None` for standard output, which gets all of it.
///
/// Errors: [`Error::NoMatch`]; when the index is needed and cannot be read.
pub async fn explain(held: &Held<'_>, into: Option<&str>, how: &How) -> Result<Explained, Error> {
    let meant = match into {
        Some(_) => Meant::look_up(held, how).await?,
        None => Meant::default(),
    };
    let lines = lines(held, into, &meant);
    Ok(Explained { lines, matched: meant.matched })
}

/// Spells the commands for an artefact with all that it builds on, the full copy first.
///
/// A whole tree comes by applying the archives in order; single paths come from the archive that
/// holds each. Errors: as for [`explain`].
pub async fn explain_chain(
    held: &Held<'_>,
    above: &[Held<'_>],
    into: Option<&str>,
    how: &How,
) -> Result<Explained, Error> {
    let links = || above.iter().chain([held]);
    let whole = Meant { in_order: true, ..Meant::default() };
    if into.is_none() || how.paths.is_empty() {
        let mut said: Vec<String> = Vec::new();
        for held in links() {
            // Nothing is applied to what is not whole.
            if let Some(last) = said.last_mut() {
                last.push_str(" &&");
            }
            said.extend(lines(held, into, &whole));
        }
        if how.strip && into.is_some() && held.stored.manifest.tree.is_some() {
            said.push(format!(
                "# the tree lies at its full path there, {}",
                display(&held.stored.manifest.target)
            ));
        }
        return Ok(Explained { lines: said, matched: BTreeSet::new() });
    }
    if held.stored.manifest.index.is_none() {
        return Err(Error::NoMatch(how.paths.join(", ")));
    }
    let (mut by_holder, matched) = holders(held, how).await?;
    let mut said = Vec::new();
    for held in links() {
        if let Some(names) = by_holder.remove(&held.stored.manifest.id) {
            let meant = Meant { names, one_by_one: true, ..Meant::default() };
            said.extend(lines(held, into, &meant));
        }
    }
    Ok(Explained { lines: said, matched })
}

type Holders = BTreeMap<ArtefactId, Vec<Vec<u8>>>;

/// Sorts the paths that are meant by the artefact that holds them.
async fn holders(held: &Held<'_>, how: &How) -> Result<(Holders, BTreeSet<usize>), Error> {
    let selection = Selection::new(&how.paths).map_err(other)?;
    let index = open_index(held).await?;
    let (mut by_holder, mut matched) = (Holders::new(), BTreeSet::new());
    let own = &held.stored.manifest.id;
    let mut add = |entry: Entry| {
        let names = by_holder.entry(entry.artefact.unwrap_or_else(|| own.clone())).or_default();
        if !names.contains(&entry.path) || names.len() > 1000 {
            names.push(entry.path);
        }
    };
    let mut entries = index.matching(&selection);
    while let Some(entry) = entries.next().await.map_err(other)? {
        matched.extend(selection.which(&entry.path));
        if is_lone_link(&entry, &selection)
            && let Some(first) = &entry.link
            && let Some(first) = index.find(first).await.map_err(other)?
        {
            add(first);
        }
        add(entry);
    }
    match matched.is_empty() {
        true => Err(Error::NoMatch(how.paths.join(", "))),
        false => Ok((by_holder, matched)),
    }
}

/// What tar is to be told of an artefact's members.
#[derive(Default)]
struct Meant {
    /// It is applied to what the archives before it gave: what is gone since is removed.
    in_order: bool,
    /// No folder stands for what it holds.
    one_by_one: bool,
    /// The topmost ones that are meant; all when empty.
    names: Vec<Vec<u8>>,
    /// Those of other files whose data a hard link needs, each with that link.
    data: Vec<(Vec<u8>, Vec<u8>)>,
    /// Components that are left away.
    depth: usize,
    matched: BTreeSet<usize>,
}

impl Meant {
    async fn look_up(held: &Held<'_>, how: &How) -> Result<Self, Error> {
        let mut meant = Self::default();
        let stripped = strip(held, how);
        match (&held.stored.manifest.index, how.paths.is_empty()) {
            (None, false) => return Err(Error::NoMatch(how.paths.join(", "))),
            (None, true) => return Ok(meant),
            (Some(_), true) if stripped.is_none() => return Ok(meant),
            _ => {}
        }
        let index = open_index(held).await?;
        if let Some(path) = stripped {
            let root = index.all().next().await.map_err(other)?;
            let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).count();
            // A target that is no folder keeps its own name.
            let is_folder = root.is_none_or(|root| root.kind == EntryKind::Folder);
            meant.depth = parts - usize::from(!is_folder && parts > 0);
        }
        if !how.paths.is_empty() {
            meant.choose(&index, &how.paths).await?;
        }
        Ok(meant)
    }

    /// Chooses members by our globs.
    async fn choose(&mut self, index: &IndexReader, paths: &[String]) -> Result<(), Error> {
        let selection = Selection::new(paths).map_err(other)?;
        let (mut entries, mut any, mut data) = (index.matching(&selection), false, BTreeSet::new());
        while let Some(entry) = entries.next().await.map_err(other)? {
            any = true;
            if self.matched.len() < paths.len() {
                self.matched.extend(selection.which(&entry.path));
            }
            if is_lone_link(&entry, &selection) {
                let Entry { path, link, .. } = &entry;
                let first = link.clone().unwrap_or_default();
                if data.insert(first.clone()) {
                    self.data.push((first, path.clone()));
                }
            }
            if !self.names.last().is_some_and(|above| lies_below(&entry.path, above)) {
                self.names.push(entry.path);
            }
        }
        match any {
            false => Err(Error::NoMatch(paths.join(", "))),
            true => Ok(()),
        }
    }

    /// Tells whether everything is meant: the root of the system itself has no name in tar.
    fn is_all(&self) -> bool {
        self.names.first().is_none_or(Vec::is_empty)
    }
}

/// Tar brings back what lies below a folder that is named.
fn lies_below(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn lines(held: &Held<'_>, into: Option<&str>, meant: &Meant) -> Vec<String> {
    let manifest = &held.stored.manifest;
    let mut lines = vec![format!(
        "# {} of {}, {} on '{}' ({})",
        crate::base::display(&manifest.target),
        manifest.local_start(),
        manifest.result.word(),
        held.place.name,
        held.place.location
    )];
    let local = held.place.kind == "local";
    let paths: Vec<String> = manifest
        .segments
        .iter()
        .map(|segment| match local {
            true => format!("{}/{}", held.place.location.trim_end_matches('/'), segment.key),
            false => segment.key.name().to_owned(),
        })
        .collect();
    if !local {
        lines.push("# fetch these objects first:".into());
        lines.extend(manifest.segments.iter().map(|segment| format!("#   {}", segment.key)));
    }
    let bad = format!("{} has other bytes than its manifest says", manifest.segments[0].key);
    lines.push(format!(
        r#"{{ test "$({} | sha256sum)" = '{}  -' || {{ echo {} >&2; false; }}; }} &&"#,
        cat(&paths),
        manifest.sha256,
        shell_words::quote(&bad)
    ));
    for (data, link) in meant.data.iter().filter(|_| !meant.is_all()) {
        let (data, link) = (display(&crate::base::text(data)), display(&crate::base::text(link)));
        lines.push(format!("# {data} comes along: {link} is another name of it"));
    }
    lines.push(unpack(held, &paths, into, meant));
    lines
}

fn cat(paths: &[String]) -> String {
    let quoted: Vec<_> = paths.iter().map(|path| shell_words::quote(path)).collect();
    format!("cat {}", quoted.join(" "))
}

fn unpack(held: &Held<'_>, paths: &[String], into: Option<&str>, meant: &Meant) -> String {
    let manifest = &held.stored.manifest;
    let decode = match manifest.compression.codec {
        Codec::None => "",
        Codec::Gzip => " | gzip -dc",
        Codec::Zstd => " | zstd -dc",
    };
    let raw = format!("{}{decode}", cat(paths));
    let Some(into) = into.map(shell_words::quote) else { return raw };
    if manifest.index.is_none() {
        let name = manifest.segments[0].key.name();
        let name = name.strip_suffix(manifest.compression.codec.suffix()).unwrap_or(name);
        return format!("mkdir -p {into} && {raw} > {into}/{}", shell_words::quote(name));
    }
    let mut tar =
        format!("tar -x -p --numeric-owner --acls --xattrs --xattrs-include='*' -C {into}");
    if meant.in_order {
        tar.push_str(" --listed-incremental=/dev/null");
    }
    if meant.one_by_one {
        tar.push_str(" --no-recursion");
    }
    if meant.depth > 0 {
        tar.push_str(&format!(" --strip-components={}", meant.depth));
    }
    if meant.is_all() {
        return format!("mkdir -p {into} && {raw} | {tar}");
    }
    let names = names(meant);
    // The names come on standard input, so the archive takes another way.
    format!(
        "mkdir -p {into} && {raw} | {{ {{ {names}; }} | \
         {tar} -f /dev/fd/3 --no-wildcards --no-unquote --null -T -; }} 3<&0"
    )
}

/// Commands that print the names that are meant, each with a NUL behind it.
fn names(meant: &Meant) -> String {
    let data = meant.data.iter().map(|(data, _)| data);
    let mut names: VecDeque<&Vec<u8>> = meant.names.iter().chain(data).collect();
    let mut commands = Vec::new();
    while let Some(name) = names.pop_front() {
        let Some(plain) = printable(name) else {
            commands.push(format!("printf '{}\\000'", octal(name)));
            continue;
        };
        let mut words = vec![shell_words::quote(plain)];
        while let Some(next) = names.front().and_then(|next| printable(next)) {
            words.push(shell_words::quote(next));
            names.pop_front();
        }
        commands.push(format!(r"printf '%s\0' {}", words.join(" ")));
    }
    commands.join("; ")
}

/// Returns a name that can be shown and pasted as it is.
fn printable(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok().filter(|name| !name.chars().any(char::is_control))
}

/// Spells a name for the format of `printf`.
fn octal(name: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._ ".contains(&byte);
    let spelled = |byte: &u8| match is_plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("\\{byte:03o}"),
    };
    name.iter().map(spelled).collect()
}
