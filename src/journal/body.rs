//! The body of a write record: a versioned message.
//!
//! The journal stores a body without interpreting it; `operations` makes it and reads it. Values
//! are as in the domain, but plain: ids as integers, a set of fields as bits.

use prost::Message;

/// The version that this release writes. It reads this version and the one before.
pub const VERSION: u32 = 1;

/// The body of a write record.
#[derive(Clone, PartialEq, Message)]
pub struct Body {
    /// The version of the message.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Who writes, and for which tenant.
    #[prost(message, optional, tag = "2")]
    pub origin: Option<Origin>,
    /// What was sent and is not verified yet.
    #[prost(message, optional, tag = "3")]
    pub open: Option<Open>,
    /// The progress of a replace-all.
    #[prost(message, optional, tag = "4")]
    pub replace: Option<Replace>,
    /// The answer, once it is final.
    #[prost(message, optional, tag = "5")]
    pub answer: Option<Answer>,
}

/// Who writes, and for which tenant.
#[derive(Clone, PartialEq, Message)]
pub struct Origin {
    /// The caller; empty for anonymous.
    #[prost(string, tag = "1")]
    pub caller: String,
    /// The RPC.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The account.
    #[prost(int32, tag = "3")]
    pub account: i32,
    /// The request id; empty for none.
    #[prost(string, tag = "4")]
    pub request_id: String,
    /// The stable name of the tenant. Never its License.
    #[prost(string, tag = "5")]
    pub tenant: String,
    /// The portal context of the caller.
    #[prost(int32, optional, tag = "6")]
    pub content_id: Option<i32>,
    /// The portal context of the caller.
    #[prost(string, optional, tag = "7")]
    pub feature_name: Option<String>,
}

/// What was sent and is not verified yet.
#[derive(Clone, PartialEq, Message)]
pub struct Open {
    /// What the list must show: one expectation, or one per step of a list that is posted whole.
    #[prost(message, repeated, tag = "1")]
    pub expectations: Vec<Expectation>,
    /// The list before a request to `UpdateFollowmeAll`, and what was posted.
    #[prost(message, optional, tag = "2")]
    pub posted: Option<Posted>,
    /// Whether upstream said that it did the write.
    #[prost(bool, tag = "3")]
    pub acknowledged: bool,
}

/// What the list must show after a write.
#[derive(Clone, PartialEq, Message)]
pub struct Expectation {
    /// `add`, `update` or `delete`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The number; 0 for an add that was not found.
    #[prost(int32, tag = "2")]
    pub number: i32,
    /// The position in a replace-all's request; -1 for none.
    #[prost(int32, tag = "3")]
    pub index: i32,
    /// The ids that the list had before, and those that other adds were found to have made since.
    #[prost(int32, repeated, tag = "4")]
    pub known: Vec<i32>,
    /// How many elements of the list before had no id.
    #[prost(uint32, tag = "5")]
    pub unidentified: u32,
    /// What the number was.
    #[prost(message, optional, tag = "6")]
    pub old: Option<Fields>,
    /// What the number is to be.
    #[prost(message, optional, tag = "7")]
    pub target: Option<Fields>,
    /// The fields that the caller set.
    #[prost(uint32, tag = "8")]
    pub asked: u32,
    /// Whether the write was applied, so that only the fields of a repair are open.
    #[prost(bool, tag = "9")]
    pub applied: bool,
    /// The entry of the audit log.
    #[prost(string, tag = "10")]
    pub entry: String,
    /// The fields of a repair.
    #[prost(uint32, tag = "11")]
    pub unverified: u32,
}

/// The list before a request to `UpdateFollowmeAll`, and what was posted.
#[derive(Clone, PartialEq, Message)]
pub struct Posted {
    /// The number that was posted.
    #[prost(int32, tag = "1")]
    pub number: i32,
    /// What was posted.
    #[prost(message, optional, tag = "2")]
    pub fields: Option<Fields>,
    /// The numbers of the list before.
    #[prost(message, repeated, tag = "3")]
    pub before: Vec<Number>,
    /// How many elements of the list before had no id.
    #[prost(uint32, tag = "4")]
    pub unidentified: u32,
    /// The numbers that are being added again, so that none is added twice.
    #[prost(int32, repeated, tag = "5")]
    pub restored: Vec<i32>,
}

/// The fields of a number.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "named as the fields of a number")]
pub struct Fields {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub redirect_number: String,
    #[prost(string, tag = "3")]
    pub domain: String,
    #[prost(int32, optional, tag = "4")]
    pub order: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub ring_timeout: Option<i32>,
    #[prost(string, tag = "6")]
    pub active: String,
    #[prost(string, tag = "7")]
    pub keep_original_cld: String,
    #[prost(string, tag = "8")]
    pub keep_original_cli: String,
    #[prost(string, tag = "9")]
    pub period: String,
    #[prost(string, tag = "10")]
    pub period_description: String,
    #[prost(bool, optional, tag = "11")]
    pub status: Option<bool>,
}

/// A number of the list, or one that has no id.
#[derive(Clone, PartialEq, Message)]
pub struct Number {
    /// The id.
    #[prost(int32, tag = "1")]
    pub id: i32,
    /// The id of its list.
    #[prost(int32, optional, tag = "2")]
    pub follow_me_id: Option<i32>,
    /// The fields.
    #[prost(message, optional, tag = "3")]
    pub fields: Option<Fields>,
    /// What could not be read.
    #[prost(message, repeated, tag = "4")]
    pub unreadable: Vec<Unreadable>,
}

/// A value that could not be read.
#[derive(Clone, PartialEq, Message)]
pub struct Unreadable {
    /// Upstream's name of the field.
    #[prost(string, tag = "1")]
    pub field: String,
    /// Its text.
    #[prost(string, tag = "2")]
    pub text: String,
}

/// The progress of a replace-all.
#[derive(Clone, PartialEq, Message)]
pub struct Replace {
    /// The numbers that the account is to have.
    #[prost(message, repeated, tag = "1")]
    pub desired: Vec<Desired>,
    /// The etag that the list must have before the first write.
    #[prost(string, tag = "2")]
    pub list_etag: String,
    /// The etags that numbers must have until they are written.
    #[prost(message, repeated, tag = "3")]
    pub number_etags: Vec<NumberEtag>,
    /// The steps that are done.
    #[prost(message, repeated, tag = "4")]
    pub done: Vec<Report>,
    /// Whether it changed something, or may have.
    #[prost(bool, tag = "5")]
    pub wrote: bool,
    /// The numbers that steps wrote which are not done.
    #[prost(int32, repeated, tag = "6")]
    pub written: Vec<i32>,
}

/// A number that the account is to have.
#[derive(Clone, PartialEq, Message)]
pub struct Desired {
    /// The number that it replaces; 0 for none.
    #[prost(int32, tag = "1")]
    pub id: i32,
    /// The values; what is absent is not set by the caller.
    #[prost(message, optional, tag = "2")]
    pub fields: Option<Fields>,
}

/// The etag that a number must have.
#[derive(Clone, PartialEq, Message)]
pub struct NumberEtag {
    /// The number.
    #[prost(int32, tag = "1")]
    pub number: i32,
    /// The etag.
    #[prost(string, tag = "2")]
    pub etag: String,
}

/// A step of a replace-all, and its outcome.
#[derive(Clone, PartialEq, Message)]
pub struct Report {
    /// `keep`, `add`, `update` or `delete`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The position in the request; -1 for a delete.
    #[prost(int32, tag = "2")]
    pub index: i32,
    /// The number.
    #[prost(int32, tag = "3")]
    pub number: i32,
    /// The fields that upstream did not apply.
    #[prost(uint32, tag = "4")]
    pub unapplied: u32,
}

/// A final answer.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    /// The reason of a failure; empty for a success.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// The etag of the list.
    #[prost(string, tag = "2")]
    pub list_etag: String,
    /// The numbers of the reply: one, or those of the list.
    #[prost(message, repeated, tag = "3")]
    pub numbers: Vec<Number>,
    /// The fields that upstream did not apply.
    #[prost(uint32, tag = "4")]
    pub unapplied: u32,
    /// The number that a failure is about.
    #[prost(int32, tag = "5")]
    pub number: i32,
    /// The numbers of a collateral change.
    #[prost(int32, repeated, tag = "6")]
    pub affected: Vec<i32>,
    /// Those of them that could not be restored.
    #[prost(int32, repeated, tag = "7")]
    pub not_restored: Vec<i32>,
    /// The settings of the list.
    #[prost(message, optional, tag = "8")]
    pub settings: Option<Settings>,
    /// The steps of a replace-all.
    #[prost(message, repeated, tag = "9")]
    pub steps: Vec<Report>,
}

/// The settings of a list.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "named as the settings of a list")]
pub struct Settings {
    #[prost(int32, optional, tag = "1")]
    pub follow_me_id: Option<i32>,
    #[prost(string, tag = "2")]
    pub sequence: String,
    #[prost(int32, optional, tag = "3")]
    pub ring_timeout: Option<i32>,
    #[prost(bool, optional, tag = "4")]
    pub sip_status: Option<bool>,
}

/// The body of a record that this release cannot read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was written by another release.
    #[error("a write record has version {0}; this release reads up to {VERSION}")]
    Version(u32),
    /// It is damaged.
    #[error("a write record is damaged")]
    Damaged(#[from] prost::DecodeError),
}

impl Body {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Error::Version`], [`Error::Damaged`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let body = Self::decode(bytes)?;
        match body.version {
            VERSION => Ok(body),
            other => Err(Error::Version(other)),
        }
    }
}
