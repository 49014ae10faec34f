//! The serde deserializer over an index.
//!
//! It recurses as deep as the text nests, which the index bounds. One function for each kind of
//! value keeps the frames small: 1000 levels fit the 2 MiB of a spawned thread, optimised or not.

use serde::{
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};

use super::{Misfit, index::Index, key::Key};
use crate::message::json::string_value;

/// One value of an index.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    index: &'a Index<'a>,
    part: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn root(index: &'a Index<'a>) -> Self {
        Self { index, part: 0 }
    }

    fn raw(self) -> &'a str {
        self.index.raw(self.part)
    }

    fn is_string(self) -> bool {
        self.raw().starts_with('"')
    }

    fn is_number(self) -> bool {
        self.raw().starts_with(|first: char| first == '-' || first.is_ascii_digit())
    }

    fn at(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// The number as a float, infinite and NaN ones included.
    fn float(self) -> Result<Option<f64>, Misfit> {
        let raw = self.raw();
        let float = match raw {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ if !self.is_number() => return Ok(None),
            _ => raw.parse().map_err(|_| Misfit::new("not a number"))?,
        };
        // Python reads 1e400 as infinity, but keeps integers of any size.
        let integer = self.is_number()
            && raw.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
        if float.is_infinite() && integer {
            return Err(Misfit::new(format!("integer of {} digits is beyond f64", raw.len())));
        }
        Ok(Some(float))
    }

    fn visit_number<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let raw = self.raw();
        if let Ok(number) = raw.parse::<u64>() {
            return visitor.visit_u64(number);
        }
        if let Ok(number) = raw.parse::<i64>() {
            return visitor.visit_i64(number);
        }
        match self.float()? {
            Some(float) if float.is_finite() => visitor.visit_f64(float),
            _ => Err(Misfit::new(format!(
                "{raw} is not finite, which only a target of type f64 or f32 takes"
            ))),
        }
    }

    fn visit_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.raw().as_bytes().first() {
            Some(b'"') => self.visit_string(visitor),
            Some(b'{') => self.visit_object(visitor),
            Some(b'[') => self.visit_list(visitor),
            Some(b'n') => visitor.visit_unit(),
            Some(b't') => visitor.visit_bool(true),
            Some(b'f') => visitor.visit_bool(false),
            _ => self.visit_number(visitor),
        }
    }

    fn visit_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_str(&string_value(self.raw()))
    }

    fn visit_object<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_map(Entries {
            reader: self,
            entries: self.index.last_entries(self.part).into_iter(),
            value: self.part,
        })
    }

    fn visit_list<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let mut elements = Elements { reader: self, parts: self.index.elements(self.part) };
        let value = visitor.visit_seq(&mut elements)?;
        match elements.parts.count() {
            0 => Ok(value),
            left => Err(Misfit::new(format!("{left} more elements than expected"))),
        }
    }

    fn visit_enum<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.is_string() {
            return visitor.visit_enum(Variant { key: self, value: None });
        }
        if self.raw().starts_with('{')
            && let [(key, value)] = self.index.last_entries(self.part)[..]
        {
            let variant = Variant { key: self.at(key), value: Some(self.at(value)) };
            return visitor.visit_enum(variant);
        }
        Err(Misfit::new("expected a variant: a string, or an object with one key"))
    }

    /// Integers of up to 128 bits, for targets that take them.
    fn visit_large<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let raw = self.raw();
        if let Ok(number) = raw.parse::<u128>() {
            visitor.visit_u128(number)
        } else if let Ok(number) = raw.parse::<i128>() {
            visitor.visit_i128(number)
        } else {
            self.visit_any(visitor)
        }
    }

    fn visit_float<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.float()? {
            Some(float) => visitor.visit_f64(float),
            None => self.visit_any(visitor),
        }
    }
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.visit_any(visitor).map_err(|misfit| misfit.at(self.part))
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.visit_float(visitor).map_err(|misfit| misfit.at(self.part))
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.visit_float(visitor).map_err(|misfit| misfit.at(self.part))
    }

    fn deserialize_i128<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.visit_large(visitor).map_err(|misfit| misfit.at(self.part))
    }

    fn deserialize_u128<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.visit_large(visitor).map_err(|misfit| misfit.at(self.part))
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.raw() == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
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
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.visit_enum(visitor).map_err(|misfit| misfit.at(self.part))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 u8 u16 u32 u64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier
    }
}

struct Elements<'a, I> {
    reader: Reader<'a>,
    parts: I,
}

impl<'a, I: Iterator<Item = usize>> SeqAccess<'a> for &mut Elements<'a, I> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        self.parts.next().map(|part| seed.deserialize(self.reader.at(part))).transpose()
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::vec::IntoIter<(usize, usize)>,
    /// The value of the key that was given last.
    value: usize,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = value;
        let key_reader = Key::new(self.reader.at(key).raw());
        seed.deserialize(key_reader).map(Some).map_err(|misfit| misfit.at(key))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        seed.deserialize(self.reader.at(self.value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A variant by name alone, or with what it holds.
struct Variant<'a> {
    key: Reader<'a>,
    value: Option<Reader<'a>>,
}

impl<'a> Variant<'a> {
    fn held(&self) -> Result<Reader<'a>, Misfit> {
        self.value.ok_or_else(|| Misfit::new("the variant stands without what it holds"))
    }
}

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), Misfit> {
        let name = string_value(self.key.raw());
        let name: de::value::CowStrDeserializer<'_, Misfit> = name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'a> VariantAccess<'a> for Variant<'a> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        self.value.map_or(Ok(()), de::Deserialize::deserialize)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self.held()?)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _len: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.held()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.held()?.deserialize_map(visitor)
    }
}
