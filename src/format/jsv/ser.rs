use std::fmt::{Display, Write as _};

use serde::ser::{self, Impossible, Serialize};

use super::{Error, Kind, is_special};

/// How an empty string member is written; the framework changed it (docs/upstream/wire.md 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyString {
    /// `name:`, as 3.9.x does.
    #[default]
    Bare,
    /// `name:""`, as the last v3 and v4 do.
    Quoted,
}

/// Writes a value as JSV, empty strings bare.
///
/// # Errors
/// [`Kind::Unsupported`] for types without a JSV form, [`Kind::InvalidKey`] for keys without
/// one, and [`Kind::InvalidValue`] if `value` refuses to be written.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    to_string_with(value, EmptyString::default())
}

/// Writes a value as JSV.
///
/// An empty string that is an element of a list is always `""`: written bare, a list of one
/// would look like a list of none. `None` alone is the empty text.
///
/// # Errors
/// Those of [`to_string`].
pub fn to_string_with<T: Serialize + ?Sized>(
    value: &T,
    empty: EmptyString,
) -> Result<String, Error> {
    let mut out = String::new();
    value.serialize(Serializer {
        out: &mut out,
        empty,
    })?;
    Ok(out)
}

struct Serializer<'a> {
    out: &'a mut String,
    empty: EmptyString,
}

/// What became of a value: the container around it decides how to show that there is none.
#[derive(PartialEq, Eq)]
enum Written {
    Value,
    Null,
}

impl Serializer<'_> {
    fn display(self, value: impl Display) -> Result<Written, Error> {
        write!(self.out, "{value}").map_err(|_| Error::new(Kind::InvalidValue))?;
        Ok(Written::Value)
    }
}

fn unsupported<T>(what: &'static str) -> Result<T, Error> {
    Err(Error::new(Kind::Unsupported(what)))
}

macro_rules! integers {
    ($($method:ident $type:ty),* $(,)?) => {$(
        fn $method(self, v: $type) -> Result<Written, Error> {
            self.display(v)
        }
    )*};
}

impl<'a> ser::Serializer for Serializer<'a> {
    type Ok = Written;
    type Error = Error;
    type SerializeSeq = Container<'a>;
    type SerializeTuple = Container<'a>;
    type SerializeTupleStruct = Container<'a>;
    type SerializeTupleVariant = Impossible<Written, Error>;
    type SerializeMap = Container<'a>;
    type SerializeStruct = Container<'a>;
    type SerializeStructVariant = Impossible<Written, Error>;

    integers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
        serialize_u128 u128,
    }

    fn serialize_bool(self, v: bool) -> Result<Written, Error> {
        self.out.push_str(if v { "True" } else { "False" });
        Ok(Written::Value)
    }

    fn serialize_f32(self, _v: f32) -> Result<Written, Error> {
        unsupported("floating point number")
    }

    fn serialize_f64(self, _v: f64) -> Result<Written, Error> {
        unsupported("floating point number")
    }

    fn serialize_char(self, v: char) -> Result<Written, Error> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<Written, Error> {
        let quoted = match v {
            "" => self.empty == EmptyString::Quoted,
            _ => v.bytes().any(is_special),
        };
        if quoted {
            self.out.push('"');
            for (index, part) in v.split('"').enumerate() {
                if index > 0 {
                    self.out.push_str("\"\"");
                }
                self.out.push_str(part);
            }
            self.out.push('"');
        } else {
            self.out.push_str(v);
        }
        Ok(Written::Value)
    }

    fn serialize_bytes(self, _v: &[u8]) -> Result<Written, Error> {
        unsupported("byte string")
    }

    fn serialize_none(self) -> Result<Written, Error> {
        Ok(Written::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Written, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Written, Error> {
        Ok(Written::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Written, Error> {
        Ok(Written::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Written, Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Written, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Written, Error> {
        unsupported("enum variant with a value")
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Container<'a>, Error> {
        Ok(Container::open(self, '['))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Container<'a>, Error> {
        Ok(Container::open(self, '['))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Container<'a>, Error> {
        Ok(Container::open(self, '['))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        unsupported("enum variant with a value")
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Container<'a>, Error> {
        Ok(Container::open(self, '{'))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Container<'a>, Error> {
        Ok(Container::open(self, '{'))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        unsupported("enum variant with a value")
    }
}

/// A list or an object that is being written.
struct Container<'a> {
    ser: Serializer<'a>,
    first: bool,
    /// Where the current member starts, comma included, so that a null one can be taken back.
    member: usize,
}

impl<'a> Container<'a> {
    fn open(ser: Serializer<'a>, bracket: char) -> Self {
        ser.out.push(bracket);
        let member = ser.out.len();
        Self {
            ser,
            first: true,
            member,
        }
    }

    fn close(self, bracket: char) -> Result<Written, Error> {
        self.ser.out.push(bracket);
        Ok(Written::Value)
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !self.first {
            self.ser.out.push(',');
        }
        self.first = false;
        let start = self.ser.out.len();
        let written = self.write(value)?;
        if written == Written::Null {
            self.ser.out.push_str("{}");
        } else if self.ser.out.len() == start {
            self.ser.out.push_str("\"\"");
        }
        Ok(())
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.member = self.ser.out.len();
        if !self.first {
            self.ser.out.push(',');
        }
        let start = self.ser.out.len();
        self.write(key)?;
        let key = &self.ser.out[start..];
        // A key that had to be quoted, a list and an object all hold a special character.
        if key.is_empty() || key.bytes().any(is_special) {
            return Err(Error::new(Kind::InvalidKey));
        }
        self.ser.out.push(':');
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        match self.write(value)? {
            Written::Value => self.first = false,
            Written::Null => self.ser.out.truncate(self.member),
        }
        Ok(())
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Written, Error> {
        value.serialize(Serializer {
            out: self.ser.out,
            empty: self.ser.empty,
        })
    }
}

impl ser::SerializeSeq for Container<'_> {
    type Ok = Written;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<Written, Error> {
        self.close(']')
    }
}

impl ser::SerializeTuple for Container<'_> {
    type Ok = Written;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<Written, Error> {
        self.close(']')
    }
}

impl ser::SerializeTupleStruct for Container<'_> {
    type Ok = Written;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<Written, Error> {
        self.close(']')
    }
}

impl ser::SerializeMap for Container<'_> {
    type Ok = Written;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.value(value)
    }

    fn end(self) -> Result<Written, Error> {
        self.close('}')
    }
}

impl ser::SerializeStruct for Container<'_> {
    type Ok = Written;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.key(key)?;
        self.value(value)
    }

    fn end(self) -> Result<Written, Error> {
        self.close('}')
    }
}
