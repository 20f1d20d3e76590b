//! Decodes messages whose repeated fields have been counted first: two bytes of a message can become
//! hundreds in memory.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{Message, encoding::decode_varint};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::{pb, status};
use crate::domain::Violations;

/// How often a repeated field may be in a message.
pub(super) struct Limit {
    /// The numbers of the fields on the way to it.
    path: &'static [u32],
    /// Its path in the contract.
    field: &'static str,
    max: usize,
}

/// A message whose repeated fields may be limited.
pub(super) trait Limited {
    /// The limits.
    const LIMITS: &'static [Limit] = &[];
}

/// As many as `calls.max_numbers` can allow.
const NUMBERS: usize = 1000;

/// Far more than there are fields.
const PATHS: usize = 100;

/// As many values as all numbers together can have that are not recognized.
const UNRECOGNIZED: usize = 16 * NUMBERS;

const fn limit(path: &'static [u32], field: &'static str, max: usize) -> Limit {
    Limit { path, field, max }
}

impl Limited for pb::AddRequest {
    const LIMITS: &'static [Limit] = &[limit(&[2, 16], "number.unrecognized", UNRECOGNIZED)];
}

impl Limited for pb::UpdateRequest {
    const LIMITS: &'static [Limit] = &[
        limit(&[2, 1], "update_mask", PATHS),
        limit(&[1, 16], "number.unrecognized", UNRECOGNIZED),
    ];
}

impl Limited for pb::ReplaceAllRequest {
    const LIMITS: &'static [Limit] = &[
        limit(&[NUMBERS_FIELD], "numbers", NUMBERS),
        limit(&[NUMBERS_FIELD, 16], "numbers.unrecognized", UNRECOGNIZED),
    ];
}

const NUMBERS_FIELD: u32 = 2;

macro_rules! unlimited {
    ($($message:ident),*) => {
        $(impl Limited for pb::$message {})*
    };
}

unlimited!(
    DeleteRequest,
    GetRequest,
    ListRequest,
    AddResponse,
    UpdateResponse,
    DeleteResponse,
    GetResponse,
    ListResponse,
    ReplaceAllResponse
);

/// The codec of the contract.
#[derive(Debug)]
pub(super) struct LimitedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for LimitedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for LimitedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Limited + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = LimitedDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> LimitedDecoder<U> {
        LimitedDecoder(ProstCodec::<T, U>::default().decoder())
    }
}

/// The decoder of [`LimitedCodec`].
#[derive(Debug)]
pub(super) struct LimitedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + Limited> Decoder for LimitedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message is one piece: it is decoded once it has arrived whole.
        let message = bytes.chunk();
        for limit in U::LIMITS {
            let count = count(message, limit.path);
            if count > limit.max {
                let mut violations = Violations::default();
                violations.push(
                    limit.field,
                    format!("holds {count} entries; send at most {}", limit.max),
                );
                return Err(status::invalid(&violations, None));
            }
        }
        self.0.decode(bytes)
    }
}

/// Counts the fields of a path. Counts to where the message is broken, if it is.
fn count(mut message: &[u8], path: &[u32]) -> usize {
    let Some((first, rest)) = path.split_first() else {
        return 1;
    };
    let mut found = 0;
    while !message.is_empty() {
        let Ok(key) = decode_varint(&mut message) else {
            return found;
        };
        let length = match key & 7 {
            0 => match decode_varint(&mut message) {
                Ok(_) => 0,
                Err(_) => return found,
            },
            1 => 8,
            2 => match decode_varint(&mut message) {
                Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
                Err(_) => return found,
            },
            5 => 4,
            _ => return found,
        };
        let Some((value, after)) = message.split_at_checked(length) else {
            return found;
        };
        if key & 7 == 2 && key >> 3 == u64::from(*first) {
            found += count(value, rest);
        }
        message = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_fields_of_a_path() {
        let number = pb::FollowMeNumber {
            name: "x".to_owned(),
            order: Some(7),
            unrecognized: [("a".to_owned(), "b".to_owned())].into(),
            ..pb::FollowMeNumber::default()
        };
        let message = pb::ReplaceAllRequest {
            account_id: 1001,
            numbers: vec![number; 3],
            list_etag: "v1".to_owned(),
            ..pb::ReplaceAllRequest::default()
        };
        let bytes = message.encode_to_vec();
        assert_eq!(count(&bytes, &[NUMBERS_FIELD]), 3);
        assert_eq!(count(&bytes, &[NUMBERS_FIELD, 16]), 3);
        assert_eq!(count(&bytes[..bytes.len() - 1], &[NUMBERS_FIELD, 16]), 3);
        assert_eq!(count(&[0x12, 0], &[NUMBERS_FIELD]), 1);
        assert_eq!(count(&[0x12], &[NUMBERS_FIELD]), 0);
    }
}
