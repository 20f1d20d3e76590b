use std::borrow::Cow;
use std::fmt;
use std::num::IntErrorKind;

use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, Visitor};

use super::scan::Scanner;
use super::{Error, Kind, MAX_BYTES};

/// Reads a value from JSV. Strings are borrowed from `text` where nothing is escaped.
///
/// A `&str` can't hold a string with doubled quotes and is then refused with
/// [`Kind::InvalidValue`]: read into `Cow<str>` or `String`.
///
/// # Errors
/// Everything that the grammar does not allow, and every value that `T` refuses; see [`Kind`].
/// Never panics. The time is proportional to the text.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::at(Kind::TooLong, MAX_BYTES));
    }
    let mut deserializer = Deserializer {
        scan: Scanner::new(text),
    };
    let value = T::deserialize(&mut deserializer)?;
    deserializer.scan.end()?;
    Ok(value)
}

/// Reads a member as text and keeps absent and empty apart: for serde's `deserialize_with`,
/// together with `default` (and `borrow`).
///
/// An absent key is then `None`; a value of any kind is `Some`, empty or not: a string unquoted,
/// an object or a list as its raw text (docs/upstream/wire.md 3: absent is null, present and empty
/// is `""`).
///
/// # Errors
/// Those of a value with broken structure.
pub fn text<'de, D: de::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    struct TextVisitor;

    impl<'de> Visitor<'de> for TextVisitor {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(v))
        }

        fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(v.to_owned()))
        }

        fn visit_string<E: de::Error>(self, v: String) -> Result<Self::Value, E> {
            Ok(Cow::Owned(v))
        }
    }

    deserializer.deserialize_str(TextVisitor).map(Some)
}

struct Deserializer<'de> {
    scan: Scanner<'de>,
}

impl<'de> Deserializer<'de> {
    /// Runs `read`; an error that the visitor made gets the position where the value starts.
    fn located<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let start = self.scan.position();
        read(self).map_err(|error| error.or_at(start))
    }

    fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(&mut self) -> Result<T, Error> {
        let start = self.scan.position();
        let text = self.scan.scalar()?;
        // `parse` takes a plus sign, which the upstream never writes.
        if text.starts_with('+') {
            return Err(Error::at(Kind::InvalidInteger, start));
        }
        text.parse().map_err(|error: std::num::ParseIntError| {
            let decimal = text
                .strip_prefix('-')
                .unwrap_or(&text)
                .bytes()
                .all(|byte| byte.is_ascii_digit());
            let kind = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Kind::IntegerOutOfRange,
                // A minus sign before digits is invalid to an unsigned type only.
                IntErrorKind::InvalidDigit if decimal && text.len() > 1 => Kind::IntegerOutOfRange,
                _ => Kind::InvalidInteger,
            };
            Error::at(kind, start)
        })
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.located(|this| visitor.$visit(this.integer::<$type>()?))
        }
    )*};
}

macro_rules! unsupported {
    ($($method:ident $name:literal),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
            Err(self.scan.error(Kind::Unsupported($name)))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scan.peek() {
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| match this.scan.peek() {
            Some(b'{' | b'[') => visitor.visit_borrowed_str(this.scan.raw()?),
            _ => match this.scan.scalar()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| {
            let text = this.scan.scalar()?;
            if text.eq_ignore_ascii_case("true") {
                visitor.visit_bool(true)
            } else if text.eq_ignore_ascii_case("false") {
                visitor.visit_bool(false)
            } else {
                Err(Error::new(Kind::InvalidBoolean))
            }
        })
    }

    integers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
    }

    unsupported! {
        deserialize_f32 "floating point number",
        deserialize_f64 "floating point number",
        deserialize_bytes "byte string",
        deserialize_byte_buf "byte string",
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| {
            if this.scan.at_empty() {
                visitor.visit_none()
            } else {
                visitor.visit_some(this)
            }
        })
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| {
            if this.scan.scalar()?.is_empty() {
                visitor.visit_unit()
            } else {
                Err(Error::new(Kind::InvalidValue))
            }
        })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.located(|this| visitor.visit_newtype_struct(this))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| {
            this.scan.open(b'[', Kind::ExpectedList)?;
            let mut elements = Container::new(this);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish(b']')?;
            Ok(value)
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| {
            this.scan.open(b'{', Kind::ExpectedObject)?;
            let mut members = Container::new(this);
            let value = visitor.visit_map(&mut members)?;
            members.finish(b'}')?;
            Ok(value)
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.located(|this| {
            let text = this.scan.scalar()?;
            // This deserializer of a string gives unit variants only.
            visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(&*text))
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| {
            this.scan.raw()?;
            visitor.visit_unit()
        })
    }
}

/// The elements of a list or the members of an object.
struct Container<'a, 'de> {
    de: &'a mut Deserializer<'de>,
    first: bool,
    closed: bool,
}

impl<'a, 'de> Container<'a, 'de> {
    fn new(de: &'a mut Deserializer<'de>) -> Self {
        Self {
            de,
            first: true,
            closed: false,
        }
    }

    fn advance(&mut self, bracket: u8) -> Result<bool, Error> {
        // A visitor may ask again after the end.
        if self.closed {
            return Ok(false);
        }
        let more = self.de.scan.advance(self.first, bracket)?;
        self.first = false;
        self.closed = !more;
        Ok(more)
    }

    /// Checks that the visitor took everything: a pair is not made from a list of three.
    fn finish(mut self, bracket: u8) -> Result<(), Error> {
        if self.advance(bracket)? {
            return Err(self.de.scan.error(Kind::InvalidLength));
        }
        Ok(())
    }
}

impl<'de> de::SeqAccess<'de> for &mut Container<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.advance(b']')? {
            seed.deserialize(&mut *self.de).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl<'de> de::MapAccess<'de> for &mut Container<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if self.advance(b'}')? {
            let scan = self.de.scan.key()?;
            seed.deserialize(&mut Deserializer { scan }).map(Some)
        } else {
            Ok(None)
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.de)
    }
}
