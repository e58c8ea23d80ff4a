//! The little XML that S3 speaks: elements, their text, and nothing else.

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_xml_entity};
use quick_xml::events::Event;

/// An element; attributes and prefixes of names are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    text: String,
    inner: Vec<Self>,
}

impl Element {
    /// Reads a document; `None` when it is not whole, or deeper than anything that S3 sends.
    pub(super) fn read(document: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(std::str::from_utf8(document).ok()?);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => open.push(Self::called(start.local_name().into_inner())),
                Event::Empty(start) => {
                    open.last_mut()?.inner.push(Self::called(start.local_name().into_inner()));
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text),
                Event::CData(text) => open.last_mut()?.text.push_str(&text),
                Event::GeneralRef(reference) => {
                    let text = &mut open.last_mut()?.text;
                    match reference.resolve_char_ref().ok()? {
                        Some(character) => text.push(character),
                        None => text.push_str(resolve_xml_entity(&reference)?),
                    }
                }
                Event::End(_) => {
                    let closed = open.pop()?;
                    open.last_mut()?.inner.push(closed);
                }
                Event::Eof => break,
                _ => (),
            }
            if open.len() > DEEPEST {
                return None;
            }
        }
        let root = open.pop().filter(|_| open.is_empty())?;
        root.inner.into_iter().next()
    }

    /// Returns the text of the first element of this name right below.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.inner.iter().find(|inner| inner.name == name).map(|found| found.text.trim())
    }

    /// Returns every element of this name right below.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.inner.iter().filter(move |inner| inner.name == name)
    }

    fn called(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// Writes an element with text.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

const DEEPEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_entities_and_prefixes_of_names() {
        let text = "<?xml version=\"1.0\"?>\n<s:List xmlns:s=\"x\"><Contents><Key>a&amp;b&#33;</Key>\
                    </Contents><Contents><Key><![CDATA[<c>]]></Key></Contents><Empty/></s:List>";
        let list = Element::read(text.as_bytes()).unwrap();
        assert_eq!(list.name, "List");
        let keys: Vec<_> = list.all("Contents").filter_map(|found| found.text("Key")).collect();
        assert_eq!(keys, ["a&b!", "<c>"]);
        assert_eq!((list.text("Empty"), list.text("Absent")), (Some(""), None));
    }

    #[test]
    fn what_is_cut_off_or_no_xml_is_nothing() {
        for text in ["", "hello", "<a><b>", "<a>&nope;</a>", "<a></b>"] {
            assert_eq!(Element::read(text.as_bytes()), None, "{text}");
        }
        let deep = "<a>".repeat(50) + &"</a>".repeat(50);
        assert_eq!(Element::read(deep.as_bytes()), None);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(element("ETag", "\"a<b\""), "<ETag>&quot;a&lt;b&quot;</ETag>");
    }
}
