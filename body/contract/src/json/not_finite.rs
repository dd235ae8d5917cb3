//! A serializer that writes nothing and stops at a number that JSON cannot hold. serde_json writes
//! null for such a number.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use serde_json::Value;

use super::joined;

/// The path and the name of the first float of a value that is not finite, `.` for the value
/// itself.
pub(crate) fn not_finite<T: Serialize + ?Sized>(value: &T) -> Option<(String, &'static str)> {
    match value.serialize(Finder) {
        Err(Stop::Found { path, name }) if path.is_empty() => Some((".".to_owned(), name)),
        Err(Stop::Found { path, name }) => Some((path, name)),
        // What cannot be written is for the writer to say.
        Ok(()) | Err(Stop::Other) => None,
    }
}

#[derive(Debug)]
enum Stop {
    Found { path: String, name: &'static str },
    Other,
}

impl Stop {
    fn within(self, place: &str) -> Self {
        match self {
            Self::Found { path, name } => Self::Found { path: joined(place, &path), name },
            Self::Other => Self::Other,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a number of JSON")
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

struct Finder;

impl Finder {
    fn float(number: f64) -> Result<(), Stop> {
        if number.is_finite() {
            return Ok(());
        }
        let name = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        Err(Stop::Found { path: String::new(), name })
    }
}

macro_rules! nothing {
    ($($method:ident($kind:ty))*) => {
        $(fn $method(self, _: $kind) -> Result<(), Stop> {
            Ok(())
        })*
    };
}

impl Serializer for Finder {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    nothing! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_unit_struct(&'static str)
    }

    fn serialize_f32(self, number: f32) -> Result<(), Stop> {
        Self::float(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Stop> {
        Self::float(number)
    }

    fn serialize_none(self) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        value.serialize(self).map_err(|stop| stop.within(variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Stop> {
        Ok(Parts::default())
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Stop> {
        Ok(Parts::default())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Stop> {
        Ok(Parts::default())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Stop> {
        Ok(Parts { variant, ..Parts::default() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Stop> {
        Ok(Parts::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Stop> {
        Ok(Parts::default())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Stop> {
        Ok(Parts { variant, ..Parts::default() })
    }
}

/// Parts of a list or a map, one after another.
#[derive(Default)]
struct Parts {
    /// The enum's variant that holds them; empty: none.
    variant: &'static str,
    index: usize,
    key: String,
}

impl Parts {
    fn part<T: Serialize + ?Sized>(
        &self,
        value: &T,
        place: impl FnOnce() -> String,
    ) -> Result<(), Stop> {
        value.serialize(Finder).map_err(|stop| {
            let stop = stop.within(&place());
            if self.variant.is_empty() { stop } else { stop.within(self.variant) }
        })
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        let index = self.index;
        self.index += 1;
        self.part(value, || format!("[{index}]"))
    }
}

/// A key as the path has it.
fn shown<K: Serialize + ?Sized>(key: &K) -> String {
    match serde_json::to_value(key) {
        Ok(Value::String(key)) => key,
        Ok(key) => key.to_string(),
        Err(_) => "…".to_owned(),
    }
}

macro_rules! items {
    ($($kind:ident::$method:ident),*) => {
        $(impl $kind for Parts {
            type Ok = ();
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
                self.item(value)
            }

            fn end(self) -> Result<(), Stop> {
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq::serialize_element, SerializeTuple::serialize_element, SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
}

macro_rules! fields {
    ($($kind:ident),*) => {
        $(impl $kind for Parts {
            type Ok = ();
            type Error = Stop;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Stop> {
                self.part(value, || key.to_owned())
            }

            fn end(self) -> Result<(), Stop> {
                Ok(())
            }
        })*
    };
}

fields! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Parts {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), Stop> {
        self.key = shown(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.part(value, || self.key.clone())
    }

    fn serialize_entry<K: Serialize + ?Sized, T: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &T,
    ) -> Result<(), Stop> {
        self.part(value, || shown(key))
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}
