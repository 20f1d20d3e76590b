//! JSV, the text format that the upstream puts inside CSV fields, as a serde data format.
//!
//! JSV looks like JSON without quotes around keys and most strings. Its grammar
//! (docs/upstream/wire.md 3):
//!
//! ```text
//! list    = "[" [ value { "," value } ] "]"
//! object  = "{" [ key ":" value { "," key ":" value } ] "}"
//! value   = object | list | quoted | bare
//! key     = 1* any character except  " : , { } [ ] CR LF
//! bare    =  * any character except  " : , { } [ ] CR LF        may be empty
//! quoted  = '"' { any character except '"' | '""' } '"'         a doubled quote is one quote
//! ```
//!
//! # Reading
//! * Structure is checked strictly: what the grammar does not allow is refused with a kind and
//!   a byte position, although the framework's own reader takes some of it in part
//!   (docs/upstream/wire.md 3). White space is never skipped: it is data.
//! * Scalars are untyped text. Integers are strict decimals, booleans `True` and `False` in any
//!   case; both may be quoted.
//! * A string asked of an object or a list is its raw text, as the framework's own string
//!   properties read it.
//! * Unknown keys, `__type` among them, are skipped whatever well-formed value they have. A
//!   key that is given twice is refused by derived structs.
//! * `Option`: an absent key is `None` (serde's rule), an *empty bare* value (`key:` before `,`
//!   or `}`) is `None` too, and a quoted empty one (`key:""`) is `Some`. That is right for
//!   numbers and booleans, where empty means null. Strings must keep absent and empty apart:
//!   read them with [`text`].
//! * An object without keys is an object, although it is also what the framework writes for a
//!   null element of a list: give every member a default to read it.
//! * Not supported: floating point numbers, bytes, and enums other than unit variants.
//!
//! ```
//! use std::borrow::Cow;
//!
//! #[derive(serde::Deserialize, Debug, PartialEq)]
//! struct Number<'a> {
//!     i_account: Option<i32>,
//!     #[serde(borrow, default, deserialize_with = "followme::format::jsv::text")]
//!     name: Option<Cow<'a, str>>,
//! }
//!
//! let numbers: Vec<Number> =
//!     followme::format::jsv::from_str(r#"[{i_account:1001,name:"Home, ""old"""},{name:},{}]"#)?;
//! assert_eq!(numbers[0].i_account, Some(1001));
//! assert_eq!(numbers[0].name.as_deref(), Some("Home, \"old\""));
//! assert_eq!(numbers[1].name.as_deref(), Some(""));
//! assert_eq!(numbers[2], Number { i_account: None, name: None });
//! # Ok::<(), followme::format::jsv::Error>(())
//! ```

mod de;
mod error;
mod scan;

pub use de::{from_str, text};
pub use error::{Error, Kind};

/// The longest text that [`from_str`] reads, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The deepest nesting of lists and objects that [`from_str`] reads. The upstream's own answers
/// nest two deep.
pub const MAX_DEPTH: u32 = 32;

/// Returns whether a byte is allowed in a quoted string only (docs/upstream/wire.md 3). All are
/// ASCII, so that text can be scanned and cut byte by byte.
const fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b':' | b',' | b'{' | b'}' | b'[' | b']' | b'\r' | b'\n'
    )
}
