//! The serde deserializer of an object's key, which is text, but may stand for a number.

use std::borrow::Cow;

use serde::{
    de::{self, Deserializer, IntoDeserializer, Visitor},
    forward_to_deserialize_any,
};

use super::Misfit;
use crate::message::json::string_value;

/// A key, decoded.
pub(super) struct Key<'a> {
    said: Cow<'a, str>,
}

impl<'a> Key<'a> {
    pub(super) fn new(raw: &'a str) -> Self {
        Self { said: string_value(raw) }
    }
}

/// Methods for targets that `serde_json` also reads from a key; what does not parse is given as
/// a string, so that the visitor says what it wants.
macro_rules! parsed {
    ($($method:ident, $visit:ident;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.said.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'a> Deserializer<'a> for Key<'a> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_str(&self.said)
    }

    parsed! {
        deserialize_bool, visit_bool;
        deserialize_i8, visit_i8;
        deserialize_i16, visit_i16;
        deserialize_i32, visit_i32;
        deserialize_i64, visit_i64;
        deserialize_i128, visit_i128;
        deserialize_u8, visit_u8;
        deserialize_u16, visit_u16;
        deserialize_u32, visit_u32;
        deserialize_u64, visit_u64;
        deserialize_u128, visit_u128;
        deserialize_f32, visit_f32;
        deserialize_f64, visit_f64;
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let name_reader: de::value::CowStrDeserializer<'_, Misfit> = self.said.into_deserializer();
        name_reader.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
