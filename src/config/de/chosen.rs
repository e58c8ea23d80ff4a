//! One variant of an enum whose name stands beside its content: `storage: local` among the keys of
//! a local storage.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
};

use crate::config::de::error::Error;

/// Gives the variant `word`, with a content that `inner` reads.
pub(super) struct Chosen<D> {
    pub(super) word: &'static str,
    pub(super) inner: D,
}

impl<'de, D: Deserializer<'de, Error = Error>> Deserializer<'de> for Chosen<D> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, D: Deserializer<'de, Error = Error>> EnumAccess<'de> for Chosen<D> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        seed.deserialize(self.word.into_deserializer()).map(|word| (word, self))
    }
}

impl<'de, D: Deserializer<'de, Error = Error>> VariantAccess<'de> for Chosen<D> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::new("a kind without keys cannot be read"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.inner)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::new("a kind is one struct"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.inner.deserialize_struct("", fields, visitor)
    }
}
