//! Passwords: hashed with Argon2id, compared, and asked to be long enough.
//!
//! At most [`AT_ONCE`] are hashed at a time, whoever asks: more would let anybody fill
//! the memory by trying to sign in. 19 MiB, two passes, one lane: the least that OWASP's password storage sheet
//! names for Argon2id, and what the library takes by itself. What a hash was made
//! with stands in it, so that older ones stay good when this is raised.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Fewest characters; NIST SP 800-63B-4 asks for 15 where it is the only factor.
pub const FEWEST: usize = 15;
/// Most characters: longer ones cost time to hash and help nobody.
pub const MOST: usize = 256;

/// How many are hashed at a time.
const AT_ONCE: usize = 4;
static HASHING: Semaphore = Semaphore::const_new(AT_ONCE);

/// Why a password cannot be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPassword {
    /// Too short or too long.
    #[error(
        "found {0} characters; allowed: {FEWEST} to {MOST}. A few words that do not belong together are easy to keep in mind"
    )]
    Length(usize),
    /// The library failed.
    #[error("the password could not be hashed: {0}")]
    Library(String),
}

/// The hash of a new password, as a PHC string.
///
/// # Errors
/// If it is too short or too long.
pub fn hash(password: &str) -> Result<String, BadPassword> {
    let n = password.chars().count();
    if !(FEWEST..=MOST).contains(&n) {
        return Err(BadPassword::Length(n));
    }
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|e| BadPassword::Library(e.to_string()))?;
    Ok(hash.to_string())
}

/// Of no password at all, so that a name that is not there takes as long as one that is.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gc3VjaCBhY2NvdW50$3f0T7mIjmGJ9rXlwGeS6kqLZ3b8v0eY0hJ2yq7o4c5M";

/// Whether a password fits a hash; an empty hash fits none. Works on a thread of
/// its own, for it takes some ten milliseconds.
pub async fn fits(password: Zeroizing<String>, hash: String) -> bool {
    let work = move || {
        let text = if hash.is_empty() { NOBODY } else { &hash };
        if password.chars().count() > MOST {
            return false;
        }
        let Ok(parsed) = PasswordHash::new(text) else { return false };
        let fits = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
        fits && !hash.is_empty()
    };
    let _turn = HASHING.acquire().await;
    tokio::task::spawn_blocking(work).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_and_no_other() {
        let hashed = hash("three words and a half").unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_ne!(hashed, hash("three words and a half").unwrap());
        let asked = async |p: &str, h: &str| fits(Zeroizing::new(p.to_owned()), h.to_owned()).await;
        assert!(asked("three words and a half", &hashed).await);
        assert!(!asked("three words and a hal", &hashed).await);
        assert!(!asked("", "").await && !asked("anything", "no hash").await);
        assert_eq!(hash("short"), Err(BadPassword::Length(5)));
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
