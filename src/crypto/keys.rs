//! Secrets on a disk: where they may lie, how they are read and made.
//!
//! A secret is a file readable by its owner alone (mode 0600 or stricter), or
//! a systemd credential (`credential:NAME`, found under
//! `$CREDENTIALS_DIRECTORY`). It never stands in a configuration, a log or an
//! error message.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::seal::RootKey;
use super::sign::{PublicKey, SignatureError, SigningKey};

/// Why a secret could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not there, or cannot be read or written.
    #[error(
        "{path}: {source}: make the keys with `counterproof keys --out DIR`, and let the service's user own them"
    )]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "{path}: mode {mode:04o} lets others read this secret; allowed: 0600 or stricter (chmod 600 {path})"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Named as a credential, but systemd passed none.
    #[error(
        "`credential:{0}` was asked for, but systemd passed no credentials (LoadCredential={0}:… in the unit)"
    )]
    NoCredential(String),
    /// The content is not what it should be.
    #[error("{path}: {what}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Makes the place of a secret absolute, if it is a path relative to `base`.
pub fn resolve(place: &mut String, base: &Path) {
    if !place.starts_with("credential:") {
        *place = base.join(&*place).to_string_lossy().into_owned();
    }
}

/// Reads a secret from a path or from `credential:NAME`.
///
/// # Errors
/// [`KeyError`] if it is not there or others may read it.
pub fn read_secret(place: &str) -> Result<(PathBuf, Zeroizing<Vec<u8>>), KeyError> {
    let path = match place.strip_prefix("credential:") {
        Some(name) => std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|dir| Path::new(&dir).join(name))
            .ok_or_else(|| KeyError::NoCredential(name.to_owned()))?,
        None => PathBuf::from(place),
    };
    let io = |source| KeyError::Io { path: path.clone(), source };
    let mode = fs::metadata(&path).map_err(io)?.permissions().mode() & 0o777;
    // systemd (254 and later) shows a credential as 0440 where an access list lets the service's user read it.
    let others = if place.starts_with("credential:") { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(KeyError::Exposed { path, mode });
    }
    let bytes = Zeroizing::new(fs::read(&path).map_err(io)?);
    Ok((path, bytes))
}

/// Reads a root key (32 bytes as base64).
///
/// # Errors
/// [`KeyError`] if the file is missing, exposed or holds something else.
pub fn read_root_key(place: &str) -> Result<RootKey, KeyError> {
    let (path, text) = read_secret(place)?;
    let bytes = Zeroizing::new(BASE64.decode(text.trim_ascii()).unwrap_or_default());
    let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeyError::Content {
        path,
        what: format!("a root key is 32 bytes as base64; found {} bytes", bytes.len()),
    })?;
    Ok(RootKey::new(key))
}

/// Reads a signing key (PKCS#8 as base64).
///
/// # Errors
/// [`KeyError`] if the file is missing, exposed or holds something else.
pub fn read_signing_key(place: &str) -> Result<SigningKey, KeyError> {
    let (path, text) = read_secret(place)?;
    let der = Zeroizing::new(BASE64.decode(text.trim_ascii()).unwrap_or_default());
    SigningKey::from_pkcs8(&der).map_err(|e: SignatureError| KeyError::Content { path, what: e.to_string() })
}

/// Reads a bearer token: one line of at least 24 characters.
///
/// # Errors
/// [`KeyError`] if the file is missing, exposed or too short to be a secret.
pub fn read_token(place: &str) -> Result<Zeroizing<String>, KeyError> {
    let (path, text) = read_secret(place)?;
    let token = std::str::from_utf8(text.trim_ascii()).unwrap_or_default();
    if token.len() < 24 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(KeyError::Content {
            path,
            what: format!("a token is one line of at least 24 printable characters; found {}", token.len()),
        });
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// Reads a password that somebody else chose: one line, not empty.
///
/// # Errors
/// [`KeyError`] if the file is missing, exposed, empty or not text.
pub fn read_password(place: &str) -> Result<Zeroizing<String>, KeyError> {
    let (path, text) = read_secret(place)?;
    let line = std::str::from_utf8(&text).unwrap_or_default().trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains('\n') {
        let what = "a password is one line of text; found none, or more".into();
        return Err(KeyError::Content { path, what });
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// What was written, and the key that the other end has to be told.
#[derive(Debug)]
pub struct MadeKeys {
    /// Every file that was written.
    pub files: Vec<PathBuf>,
    /// The public half of the signing key.
    pub public: PublicKey,
}

/// Makes a box's secrets in `dir`: `root.key`, `signing.key`, `his.token`,
/// `tls.key` and the certificate request `tls.csr` for the name `name`.
///
/// # Errors
/// [`KeyError`] if a file is already there (nothing is overwritten) or cannot
/// be written.
pub fn make_keys(dir: &Path, name: &str) -> Result<MadeKeys, KeyError> {
    let token = Zeroizing::new(BASE64.encode(random(dir)?.as_slice()));
    make(dir, &[name.to_owned()], &[("his.token", token)])
}

/// Makes the bureau's secrets in `dir`: `root.key`, `signing.key`, `tls.key`
/// and the certificate request `tls.csr` for `names`, by which boxes reach it.
///
/// # Errors
/// [`KeyError`] if a file is already there (nothing is overwritten) or cannot
/// be written.
pub fn make_bureau_keys(dir: &Path, names: &[String]) -> Result<MadeKeys, KeyError> {
    make(dir, names, &[])
}

fn random(dir: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| KeyError::Content {
        path: dir.to_owned(),
        what: "the system gave no randomness".into(),
    })?;
    Ok(bytes)
}

fn make(dir: &Path, names: &[String], more: &[(&str, Zeroizing<String>)]) -> Result<MadeKeys, KeyError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Io { path, source }
    };
    fs::create_dir_all(dir).map_err(io(dir))?;
    let content = |what: String| KeyError::Content { path: dir.to_owned(), what };
    let pkcs8 = SigningKey::generate_pkcs8().map_err(|e| content(e.to_string()))?;
    let public = SigningKey::from_pkcs8(&pkcs8).map_err(|e| content(e.to_string()))?.public();
    let tls = rcgen::KeyPair::generate().map_err(|e| content(e.to_string()))?;
    let common_name = names.first().cloned().unwrap_or_default();
    let request = rcgen::CertificateParams::new(names)
        .map(|mut p| {
            // The library's own default names itself.
            p.distinguished_name = rcgen::DistinguishedName::new();
            p.distinguished_name.push(rcgen::DnType::CommonName, common_name.as_str());
            p
        })
        .and_then(|p| p.serialize_request(&tls))
        .and_then(|r| r.pem())
        .map_err(|e| content(e.to_string()))?;
    let own = [
        ("root.key", Zeroizing::new(BASE64.encode(random(dir)?.as_slice()))),
        ("signing.key", Zeroizing::new(BASE64.encode(pkcs8.as_slice()))),
        ("tls.key", Zeroizing::new(tls.serialize_pem())),
        ("tls.csr", Zeroizing::new(request)),
    ];
    let mut files = Vec::new();
    for (file, text) in own.iter().chain(more) {
        let path = dir.join(file);
        let mut out =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io(&path))?;
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(io(&path))?;
        files.push(path);
    }
    Ok(MadeKeys { files, public })
}

/// Puts a new `root.key` in the place of the one in `dir`, which becomes
/// `root.previous.key`. At every moment one of the two is whole.
///
/// # Errors
/// [`KeyError`] if there is no root key, a previous one is still there, or
/// nothing can be written.
pub fn replace_root_key(dir: &Path) -> Result<PathBuf, KeyError> {
    let (current, previous, new) =
        (dir.join("root.key"), dir.join("root.previous.key"), dir.join("root.key.new"));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Io { path, source }
    };
    read_root_key(&current.to_string_lossy())?;
    if previous.exists() {
        let what = "is still there: the last replacement is not finished; destroy it once the agent runs on the new key";
        return Err(KeyError::Content { path: previous, what: what.into() });
    }
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| KeyError::Content {
        path: dir.to_owned(),
        what: "the system gave no randomness".into(),
    })?;
    let text = Zeroizing::new(BASE64.encode(bytes.as_ref()));
    // Left over from a crash before the exchange, it was never in use.
    let _ = fs::remove_file(&new);
    let mut out =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io(&new))?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.sync_all())
        .map_err(io(&new))?;
    fs::hard_link(&current, &previous).map_err(io(&previous))?;
    fs::rename(&new, &current).map_err(io(&current))?;
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io(dir))?;
    Ok(previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_keys_are_read_again_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let made = make_keys(dir.path(), "box-1").unwrap();
        let at = |f: &str| dir.path().join(f).to_string_lossy().into_owned();
        read_root_key(&at("root.key")).unwrap();
        assert_eq!(read_signing_key(&at("signing.key")).unwrap().public(), made.public);
        assert!(read_token(&at("his.token")).unwrap().len() >= 24);
        assert!(make_keys(dir.path(), "box-1").is_err());
    }

    #[test]
    fn a_root_key_is_replaced_and_the_former_one_kept_until_it_is_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        make_keys(dir.path(), "box-1").unwrap();
        let at = |f: &str| fs::read(dir.path().join(f)).unwrap();
        let former = at("root.key");
        let previous = replace_root_key(dir.path()).unwrap();
        assert_eq!(fs::read(previous).unwrap(), former);
        assert_ne!(at("root.key"), former);
        read_root_key(&dir.path().join("root.key").to_string_lossy()).unwrap();
        assert!(replace_root_key(dir.path()).unwrap_err().to_string().contains("still there"));
    }

    #[test]
    fn a_bureau_has_keys_of_its_own_and_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let made = make_bureau_keys(dir.path(), &["localhost".into(), "127.0.0.1".into()]).unwrap();
        assert_eq!(made.files.len(), 4);
        assert!(!dir.path().join("his.token").exists());
        let key = read_signing_key(&dir.path().join("signing.key").to_string_lossy()).unwrap();
        assert_eq!(key.public(), made.public);
        assert!(make_bureau_keys(dir.path(), &["localhost".into()]).is_err());
    }

    #[test]
    fn what_others_may_do_with_a_credential_is_refused_but_for_the_group_s_reading() {
        // The folder comes from the environment: the same rule, asked of the modes.
        for (mode, credential, file) in [(0o400, true, true), (0o440, true, false), (0o444, false, false)] {
            assert_eq!((mode & 0o037 == 0, mode & 0o077 == 0), (credential, file), "{mode:o}");
        }
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.key");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let text = read_root_key(&path.to_string_lossy()).err().unwrap().to_string();
        assert!(text.contains("0640") && text.contains("chmod 600"), "{text}");
    }
}
