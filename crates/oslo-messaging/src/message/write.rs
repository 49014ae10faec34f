//! A value's JSON text, by `serde_json`, with Python's words for floats that are not finite.
//!
//! `serde_json` writes `null` for them. Its formatter cannot tell that `null` from any other, so a
//! serializer in front of it leaves a note before it passes such a float on. Called by
//! `Payload::serialize` and `Context::serialize`.

use std::{cell::Cell, fmt, io};

use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use serde_json::ser::Formatter;

use super::json::MAX_VALUE_DEPTH;
use crate::error::Error;

/// The JSON text of `value`; `what` names it in the error.
pub(super) fn to_json<T: Serialize + ?Sized>(
    value: &T,
    what: &'static str,
) -> Result<String, Error> {
    let note = Cell::new(None);
    let mut out = Vec::with_capacity(512);
    let mut inner = serde_json::Serializer::with_formatter(&mut out, NullWord { note: &note });
    Noting { value, note: &note, depth: 0 }
        .serialize(&mut inner)
        .map_err(|source| Error::Conversion { what, source: source.into() })?;
    String::from_utf8(out).map_err(|source| Error::Conversion { what, source: source.into() })
}

/// The word to write in place of the next `null`.
type Note = Cell<Option<&'static str>>;

struct NullWord<'a> {
    note: &'a Note,
}

impl Formatter for NullWord<'_> {
    fn write_null<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.note.take().unwrap_or("null").as_bytes())
    }
}

/// A value, a serializer, or a serializer of parts, that leaves notes and counts levels.
struct Noting<'a, T> {
    value: T,
    note: &'a Note,
    depth: usize,
}

impl<'a, T> Noting<'a, T> {
    fn with<U>(&self, value: U) -> Noting<'a, U> {
        Noting { value, note: self.note, depth: self.depth }
    }

    /// Goes `levels` deeper.
    fn deeper<E: serde::ser::Error>(mut self, levels: usize) -> Result<Self, E> {
        self.depth += levels;
        if self.depth > MAX_VALUE_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_VALUE_DEPTH} levels")));
        }
        Ok(self)
    }
}

impl<T: Serialize> Serialize for Noting<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(self.with(serializer))
    }
}

/// Methods that only pass their arguments on.
macro_rules! pass {
    ($($method:ident($($argument:ident: $kind:ty),*);)*) => {$(
        fn $method(self, $($argument: $kind),*) -> Result<S::Ok, S::Error> {
            self.value.$method($($argument),*)
        }
    )*};
}

/// Methods that open a container; a variant's is inside another one.
macro_rules! open {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $part:ident, $levels:literal;)*) => {$(
        fn $method(self, $($argument: $kind),*) -> Result<Self::$part, S::Error> {
            let Noting { value, note, depth } = self.deeper($levels)?;
            Ok(Noting { value: value.$method($($argument),*)?, note, depth })
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Noting<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Noting<'a, S::SerializeSeq>;
    type SerializeTuple = Noting<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Noting<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Noting<'a, S::SerializeTupleVariant>;
    type SerializeMap = Noting<'a, S::SerializeMap>;
    type SerializeStruct = Noting<'a, S::SerializeStruct>;
    type SerializeStructVariant = Noting<'a, S::SerializeStructVariant>;

    pass! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    open! {
        serialize_seq(len: Option<usize>) -> SerializeSeq, 1;
        serialize_tuple(len: usize) -> SerializeTuple, 1;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct, 1;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant, 2;
        serialize_map(len: Option<usize>) -> SerializeMap, 1;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct, 1;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant, 2;
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.value.serialize_f32(value)
        } else {
            self.serialize_f64(value.into())
        }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if !value.is_finite() {
            self.note.set(Some(match value {
                f64::INFINITY => "Infinity",
                f64::NEG_INFINITY => "-Infinity",
                _ => "NaN",
            }));
        }
        self.value.serialize_f64(value)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.with(value);
        self.value.serialize_some(&value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.with(value);
        self.value.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let inside = self.deeper(1)?;
        let value = inside.with(value);
        inside.value.serialize_newtype_variant(name, index, variant, &value)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.value.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.value.is_human_readable()
    }
}

/// The seven serializers of parts; keys are passed on as they are, being no place for a float
/// that is not finite.
macro_rules! parts {
    ($($part:ident::$method:ident;)*) => {$(
        impl<C: $part> $part for Noting<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let value = self.with(value);
                self.value.$method(&value)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.value.end()
            }
        }
    )*};
}

parts! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! named_parts {
    ($($part:ident),*) => {$(
        impl<C: $part> $part for Noting<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                let value = self.with(value);
                self.value.serialize_field(key, &value)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.value.end()
            }
        }
    )*};
}

named_parts!(SerializeStruct, SerializeStructVariant);

impl<C: SerializeMap> SerializeMap for Noting<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.value.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let value = self.with(value);
        self.value.serialize_value(&value)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.value.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{json, value::RawValue};

    use super::*;

    fn written<T: Serialize>(value: T) -> String {
        to_json(&value, "payload").unwrap()
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Pair(f64, Option<f64>);

    #[derive(Serialize)]
    struct Wrapper(f64);

    #[derive(Serialize)]
    struct Named {
        load: f64,
        none: Option<f64>,
    }

    #[derive(Serialize)]
    enum Kind {
        Plain,
        One(f64),
        Two(f64, f64),
        Named { load: f64 },
    }

    #[test]
    fn floats_that_are_not_finite_are_written_in_pythons_words() {
        const NAN: f64 = f64::NAN;
        assert_eq!(written(NAN), "NaN");
        assert_eq!(written(f32::NEG_INFINITY), "-Infinity");
        assert_eq!(written([1.5, NAN, f64::INFINITY]), "[1.5,NaN,Infinity]");
        assert_eq!(written((NAN, None::<f64>, Some(NAN))), "[NaN,null,NaN]");
        assert_eq!(written(BTreeMap::from([("a", NAN)])), r#"{"a":NaN}"#);
        assert_eq!(written(Named { load: NAN, none: None }), r#"{"load":NaN,"none":null}"#);
        assert_eq!(written(Pair(NAN, None)), "[NaN,null]");
        assert_eq!(written(Wrapper(NAN)), "NaN");
        assert_eq!(written(Kind::One(NAN)), r#"{"One":NaN}"#);
        assert_eq!(written(Kind::Two(1.0, NAN)), r#"{"Two":[1.0,NaN]}"#);
        assert_eq!(written(Kind::Named { load: NAN }), r#"{"Named":{"load":NaN}}"#);
    }

    #[test]
    fn all_else_is_written_as_by_serde_json() {
        let raw = RawValue::from_string("[1,  2]".to_owned()).unwrap();
        assert_eq!(written(raw), "[1,  2]");
        assert_eq!(written(Kind::Plain), r#""Plain""#);
        assert_eq!(written(Unit), "null");
        assert_eq!(written(u128::MAX), u128::MAX.to_string());
        assert_eq!(written(BTreeMap::from([(1, true)])), r#"{"1":true}"#);
        let tree = json!({"a": [null, true, 1, -2, 1.5, "é\"\n", {}], "b": {"c": []}});
        assert_eq!(written(&tree), tree.to_string());
    }

    #[test]
    fn what_has_no_json_form_is_an_error() {
        let keys = BTreeMap::from([((1, 2), 3)]);
        let error = to_json(&keys, "payload").unwrap_err();
        assert_eq!(error.to_string(), "payload could not be converted");
        let mut tree = json!(1);
        for _ in 0..=MAX_VALUE_DEPTH {
            tree = json!([tree]);
        }
        assert!(to_json(&tree, "payload").is_err());
        assert!(to_json(&tree[0], "payload").is_ok());
    }
}
