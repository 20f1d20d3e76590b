//! Protects personal data in the journal: keyed hashes instead of names, and encrypted bodies.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Keys, OpenError, RecordId};

/// A keyed hash (HMAC-SHA256).
pub(super) type Hash = [u8; 32];

/// What a key that encrypts the hash key is bound to.
const HASH_KEY_CONTEXT: &[u8] = b"followme journal hash key";

/// The first byte of what is stored: what follows is as it is, or encrypted.
const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;

/// How many bytes name the key that encrypted.
const KEY_NAME_LEN: usize = 4;

/// Hashes, encrypts and decrypts.
pub(super) struct Seal {
    mac: Hmac<Sha256>,
    cipher: Cipher,
}

impl Seal {
    /// Makes one from the key of hashes, which is 32 bytes.
    pub(super) fn new(hash_key: &[u8], cipher: Cipher) -> Result<Self, OpenError> {
        Ok(Self {
            mac: Hmac::new_from_slice(hash_key).map_err(|_| OpenError::Damaged("its hash key"))?,
            cipher,
        })
    }

    /// Hashes values; each is bound to its position.
    pub(super) fn hash<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Hash {
        let mut mac = self.mac.clone();
        for value in values {
            mac.update(&(value.len() as u64).to_be_bytes());
            mac.update(value);
        }
        mac.finalize().into_bytes().into()
    }

    pub(super) fn seal(&self, id: RecordId, body: Vec<u8>) -> Result<Vec<u8>, super::Error> {
        self.cipher
            .encrypt(id.as_bytes(), body)
            .ok_or_else(|| super::Error::Unavailable("a record cannot be encrypted".into()))
    }

    pub(super) fn open(&self, id: RecordId, stored: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.cipher.decrypt(id.as_bytes(), stored)
    }
}

/// Encrypts with the first of some keys and decrypts with all; with none it encrypts nothing.
pub(super) struct Cipher(Vec<([u8; KEY_NAME_LEN], RandomizedNonceKey)>);

impl Cipher {
    pub(super) fn new(keys: Option<&Keys>) -> Result<Self, OpenError> {
        keys.into_iter()
            .flat_map(Keys::iter)
            .map(|key| {
                let digest = Sha256::digest(Sha256::digest(key));
                let mut name = [0; KEY_NAME_LEN];
                name.copy_from_slice(&digest[..KEY_NAME_LEN]);
                let key = RandomizedNonceKey::new(&AES_256_GCM, key);
                Ok((
                    name,
                    key.map_err(|_| OpenError::Damaged("a key of the key file"))?,
                ))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn encrypts(&self) -> bool {
        !self.0.is_empty()
    }

    /// Returns whether something stored is as [`Cipher::encrypt`] would leave it today.
    pub(super) fn is_current(&self, stored: &[u8]) -> bool {
        match self.0.first() {
            Some((name, _)) => {
                stored.first() == Some(&ENCRYPTED) && stored.get(1..=KEY_NAME_LEN) == Some(name)
            }
            None => stored.first() == Some(&PLAIN),
        }
    }

    /// Encrypts, bound to a context: `ENCRYPTED`, the key's name, the nonce, the text and its tag.
    pub(super) fn encrypt(&self, context: &[u8], mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let Some((name, key)) = self.0.first() else {
            plain.insert(0, PLAIN);
            return Some(plain);
        };
        let nonce = key
            .seal_in_place_append_tag(Aad::from(context), &mut plain)
            .ok()?;
        Some([&[ENCRYPTED], &name[..], nonce.as_ref(), &plain].concat())
    }

    pub(super) fn decrypt(&self, context: &[u8], stored: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (kind, rest) = stored.split_first()?;
        match *kind {
            PLAIN => Some(Zeroizing::new(rest.to_vec())),
            ENCRYPTED => {
                let (wanted, rest) = rest.split_at_checked(KEY_NAME_LEN)?;
                let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
                self.0
                    .iter()
                    .filter(|(name, _)| name == wanted)
                    .find_map(|(_, key)| {
                        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                        let mut text = Zeroizing::new(text.to_vec());
                        let aad = Aad::from(context);
                        let length = key.open_in_place(nonce, aad, &mut text).ok()?.len();
                        text.truncate(length);
                        Some(text)
                    })
            }
            _ => None,
        }
    }

    /// Encrypts the key of hashes.
    pub(super) fn wrap(&self, hash_key: &[u8]) -> Option<Vec<u8>> {
        self.encrypt(HASH_KEY_CONTEXT, hash_key.to_vec())
    }

    /// Decrypts the key of hashes.
    ///
    /// # Errors
    /// [`OpenError::Key`].
    pub(super) fn unwrap(&self, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.decrypt(HASH_KEY_CONTEXT, stored)
            .ok_or(OpenError::Key {
                given: self.encrypts(),
            })
    }
}
