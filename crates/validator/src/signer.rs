//! The validator key: signs part headers for EVM targets.
//!
//! In: the header's EIP-712 digest. Out: 65 bytes `r ‖ s ‖ v`, v 27 or 28, s in the lower half of the order, so
//! that there is one signature per digest: the nonce is RFC 6979's. The secret is wiped when it is dropped.

use std::path::{Path, PathBuf};

use common::bridge::Address;
use common::config::{ConfigError, read_secret};
use common::hash::Digest;
use k256::ecdsa::SigningKey;
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

/// A signature as `StateBridge` reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 65]);

/// The key. Its debug form shows the address only.
pub struct Signer {
    key: SigningKey,
    address: Address,
}

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error(transparent)]
    Read(#[from] ConfigError),
    #[error("{path} is not a secp256k1 secret: expected 0x and 64 hex digits, a number below the order")]
    Form { path: PathBuf },
    #[error("the digest {digest} cannot be signed")]
    Digest { digest: Digest, source: k256::ecdsa::Error },
}

impl Signer {
    /// # Errors
    /// The file cannot be read or does not hold a secret.
    pub fn load(path: &Path) -> Result<Self, SignerError> {
        let text = read_secret(path)?;
        let form = || SignerError::Form { path: path.to_owned() };
        let digits = text.expose_secret().strip_prefix("0x").ok_or_else(form)?;
        let mut secret = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(digits, secret.as_mut()).map_err(|_| form())?;
        Self::from_secret(&secret).ok_or_else(form)
    }

    /// `None` if the number is zero or not below the curve's order.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Option<Self> {
        let key = SigningKey::from_bytes(secret.into()).ok()?;
        let point = key.verifying_key().to_encoded_point(false);
        let public: &[u8; 64] = point.as_bytes().get(1..)?.try_into().ok()?;
        Some(Self { address: Address::of_public_key(public), key })
    }

    /// What the contract knows this key by.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// # Errors
    /// Never for a digest of a hash function in practice; the library cannot rule it out.
    pub fn sign(&self, digest: &Digest) -> Result<Signature, SignerError> {
        let (signature, recovery) = self
            .key
            .sign_prehash_recoverable(&digest.0)
            .map_err(|source| SignerError::Digest { digest: *digest, source })?;
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + recovery.to_byte();
        Ok(Signature(bytes))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
