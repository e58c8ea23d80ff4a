//! How serde walks through the fields of a mapping and the items of a list.

use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::config::de::error::Error;
use crate::config::de::{De, Path};
use crate::config::node::{Entry, Node};

/// The set fields of a mapping; blank ones are passed by, as if they were not there.
pub(super) struct Fields<'a> {
    de: De<'a>,
    left: std::vec::IntoIter<&'a Entry>,
    current: Option<&'a Entry>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(de: De<'a>, entries: Vec<&'a Entry>) -> Self {
        Self { de, left: entries.into_iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.current = self.left.find(|entry| !entry.value.is_blank());
        match self.current {
            None => Ok(None),
            Some(entry) => seed.deserialize(entry.key.as_str().into_deserializer()).map(Some),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.current.ok_or_else(|| Error::new("a value without its key"))?;
        let path = Path::Key(&self.de.path, &entry.key);
        let de = De { node: &entry.value, path, also: &[], unknown: self.de.unknown };
        seed.deserialize(de)
    }
}

/// The set items of a list; blank ones are passed by.
pub(super) struct Items<'a> {
    de: De<'a>,
    left: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> Items<'a> {
    pub(super) fn new(de: De<'a>, items: &'a [Node]) -> Self {
        Self { de, left: items.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.left.find(|(_, node)| !node.is_blank()) else {
            return Ok(None);
        };
        let path = Path::Item(&self.de.path, index);
        seed.deserialize(De { node, path, also: &[], unknown: self.de.unknown }).map(Some)
    }
}

/// A variant without content.
pub(super) struct Variant<'a>(&'a str);

impl<'a> Variant<'a> {
    pub(super) fn new(word: &'a str) -> Self {
        Self(word)
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        seed.deserialize(self.0.into_deserializer()).map(|word| (word, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Error> {
        Err(Error::new("only a single word is possible here"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::new("only a single word is possible here"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        Err(Error::new("only a single word is possible here"))
    }
}
