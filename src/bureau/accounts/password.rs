//! Passwords: hashed with Argon2id, compared, and asked to be long enough.
//!
//! At most [`AT_ONCE`] are hashed at a time, whoever asks: more would let anybody fill
//! the memory by trying to sign in. 19 MiB, two passes, one lane: the least that OWASP's password storage sheet
//! names for Argon2id, and what the library takes by itself. What a hash was made
//! with stands in it, so that older ones stay good when this is raised.

use std::collections::BTreeSet;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::AccountName;

/// Fewest characters; NIST SP 800-63B-4 asks for 15 where it is the only factor.
pub const FEWEST: usize = 15;
/// Most characters: longer ones cost time to hash and help nobody.
pub const MOST: usize = 256;

/// How many are hashed at a time.
const AT_ONCE: usize = 4;
static HASHING: Semaphore = Semaphore::const_new(AT_ONCE);

/// Fewest different pairs of neighbours that are no step of a row (`ab`, `33`, `21`).
const FEWEST_PAIRS: usize = 8;
/// What guesses begin with; left out before pairs are counted.
const COMMON: [&str; 16] = [
    "password",
    "passw0rd",
    "qwertyuiop",
    "qwerty",
    "asdfghjkl",
    "asdfgh",
    "zxcvbnm",
    "1qaz2wsx",
    "iloveyou",
    "woaini",
    "welcome",
    "letmein",
    "administrator",
    "admin",
    "counterproof",
    "yibaoju",
];

/// Why a password cannot be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPassword {
    /// Too short or too long.
    #[error(
        "found {0} characters; allowed: {FEWEST} to {MOST}. A few words that do not belong together are easy to keep in mind"
    )]
    Length(usize),
    /// Hardly more than a repetition, a row of keys, a common password or the account's name.
    #[error(
        "found one that is hardly more than a repetition, a row of keys, a common password or the account's name; \
         a few words that do not belong together are easy to keep in mind"
    )]
    Plain,
    /// The library failed.
    #[error("the password could not be hashed: {0}")]
    Library(String),
}

/// The hash of a new password, as a PHC string.
///
/// # Errors
/// If it is too short, too long, or easily guessed.
pub fn hash(password: &str) -> Result<String, BadPassword> {
    let n = password.chars().count();
    if !(FEWEST..=MOST).contains(&n) {
        return Err(BadPassword::Length(n));
    }
    if is_plain(password, "") {
        return Err(BadPassword::Plain);
    }
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|e| BadPassword::Library(e.to_string()))?;
    Ok(hash.to_string())
}

/// Whether hardly anything is left of it without what guesses begin with.
fn is_plain(password: &str, name: &str) -> bool {
    let mut rest = Zeroizing::new(password.to_lowercase());
    for known in COMMON.into_iter().chain([name]).filter(|k| k.len() > 2) {
        rest = Zeroizing::new(rest.replace(known, ""));
    }
    let is_step = |(one, next): &(char, char)| u32::from(*one).abs_diff(u32::from(*next)) <= 1;
    let pairs: BTreeSet<(char, char)> =
        rest.chars().zip(rest.chars().skip(1)).filter(|pair| !is_step(pair)).collect();
    pairs.len() < FEWEST_PAIRS
}

/// The hash of a new password of this account, as [`hash`], on a thread of its own.
///
/// # Errors
/// If it is too short, too long, or easily guessed.
pub async fn hash_of(name: &AccountName, password: Zeroizing<String>) -> Result<String, BadPassword> {
    let name = name.to_string();
    let work = move || {
        if is_plain(&password, &name) { Err(BadPassword::Plain) } else { hash(&password) }
    };
    let _turn = HASHING.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(BadPassword::Library(e.to_string())))
}

/// A password to hand out: 100 random bits as letters and digits that are not
/// mistaken for each other.
///
/// # Errors
/// If the system has no randomness.
pub fn make() -> Result<Zeroizing<String>, BadPassword> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = Zeroizing::new([0_u8; 20]);
    let no_randomness = |_| BadPassword::Library("the system has no randomness".into());
    SystemRandom::new().fill(bytes.as_mut()).map_err(no_randomness)?;
    let mut text = Zeroizing::new(String::with_capacity(24));
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 && n % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    Ok(text)
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
        for plain in [
            "aaaaaaaaaaabbbbbbbbb",
            "123456789012345",
            "PasswordPassword1",
            "qwertyuiopasdfgh",
            "kaffeekaffeekaffee",
        ] {
            assert_eq!(hash(plain), Err(BadPassword::Plain), "{plain}");
        }
        assert!(hash("四个互不相干的词语放在一起很好记").is_ok());
    }

    #[test]
    fn a_name_that_is_not_there_costs_the_same_work() {
        let (nobody, anybody) = (PasswordHash::new(NOBODY).unwrap(), hash("three words and a half").unwrap());
        let anybody = PasswordHash::new(&anybody).unwrap();
        assert_eq!((nobody.algorithm, nobody.version), (anybody.algorithm, anybody.version));
        assert_eq!(nobody.params.to_string(), anybody.params.to_string());
        let length = |h: &PasswordHash| h.hash.as_ref().map(|o| o.as_bytes().len());
        assert_eq!(length(&nobody), length(&anybody));
        // It was hashed and compared, not refused before.
        let refused = Argon2::default().verify_password(b"anything", &nobody).unwrap_err();
        assert_eq!(refused, argon2::password_hash::Error::PasswordInvalid);
    }

    #[tokio::test]
    async fn what_is_handed_out_can_be_taken_and_a_name_is_no_password() {
        let (one, other) = (make().unwrap(), make().unwrap());
        assert!(one.len() == 24 && one != other && hash(&one).is_ok(), "{}", one.as_str());
        let name: AccountName = "li.na@bureau.example".parse().unwrap();
        let taken = hash_of(&name, Zeroizing::new("Li.Na@bureau.example-1".into())).await;
        assert_eq!(taken, Err(BadPassword::Plain));
        assert!(hash_of(&name, one).await.is_ok());
    }
}
