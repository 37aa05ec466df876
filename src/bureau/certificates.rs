//! Certificates of enrolled people, as keyed hashes: so that somebody whom a hospital's
//! registration names by their certificate is known as a proxy.
//!
//! Promises: a number is hashed where it is read and goes nowhere; the hash leads to the
//! pseudonymous number of the person alone, and only under the bureau's key. The file is
//! taken whole or not at all ([`super::lines`]); its header is
//! `cardholder,cert_type,certno`, with the national code of the type (01: identity card).

use std::path::Path;

use super::acts::{Person, note};
use super::store::{Certificate, Store};
use super::{BureauError, lines};
use crate::clock::WallTime;
use crate::protocol::proxy::CertificateDigest;

const HEADER: [&str; 3] = ["cardholder", "cert_type", "certno"];

/// Reads a file and keeps the hashes; what was done, in words.
///
/// # Errors
/// If the file cannot be read, a line of it is wrong, or the store fails.
pub async fn import(store: &Store, by: &Person, file: &Path, now: WallTime) -> Result<String, BureauError> {
    let key = store.proxy_key()?;
    let one = |[cardholder, kind, number]: [&str; 3]| {
        let digits = kind.len() <= 3 && !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            let found: String = kind.chars().take(10).collect();
            return Err(format!(
                "cert_type: found `{}`; allowed: the national code, such as 01",
                found.escape_debug()
            ));
        }
        // What stands there is not shown: it is somebody's number.
        let n = number.chars().filter(|c| !c.is_whitespace()).count();
        if !(4..=40).contains(&n) || !number.is_ascii() {
            return Err(format!("certno: found {n} characters; allowed: 4 to 40 letters and digits"));
        }
        let cardholder = cardholder.parse().map_err(|e| format!("cardholder: {e}"))?;
        Ok(Certificate { mark: key.mark(CertificateDigest::of(kind, number)), cardholder })
    };
    let certificates = lines::read_file(file, HEADER, one, |c| c.mark.to_string())?;
    let count = certificates.len();
    note(store, by, "certificates import", &file.display().to_string(), format!("{count} certificates"))
        .await?;
    store.keep_certificates(&certificates, now).await?;
    Ok(format!("{count} certificates are known by their hash now"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn a_certificate_leads_to_its_holder_and_its_number_stands_nowhere() {
        on_both(async |store| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("certificates.csv");
            let by = Person::of(Some("zhang".into())).unwrap();
            let import = async |text: &str| {
                std::fs::write(&file, text).unwrap();
                let at = WallTime::from_millis(5);
                import(&store, &by, &file, at).await.map_err(|e| e.to_string())
            };
            import("cardholder,cert_type,certno\nP2,01,31010119900101123x\nP3,1,310101199001011232\n")
                .await
                .unwrap();
            let mark = |number: &str| store.proxy_key().unwrap().mark(CertificateDigest::of("1", number));
            let holder = async |number: &str| store.holder_of_certificate(mark(number)).await.unwrap();
            assert_eq!(holder("31010119900101123X").await, Some("P2".parse().unwrap()));
            assert_eq!(holder("310101199001011239").await, None);
            // A person has a new card, and somebody had been confused.
            import("cardholder,cert_type,certno\nP4,01,310101199001011232\n").await.unwrap();
            assert_eq!(holder("310101199001011232").await, Some("P4".parse().unwrap()));
            let e = import("cardholder,cert_type,certno\nP 1,01,310101\nP1,x,310101\nP1,01,31\n")
                .await
                .unwrap_err();
            for told in ["3 faults", ":2: cardholder", ":3: cert_type", ":4: certno: found 2"] {
                assert!(e.contains(told), "{told} is not in {e}");
            }
            let acts = format!("{:?}", store.acts(9).await.unwrap());
            assert!(!acts.contains("3101011990"), "{acts}");
        })
        .await;
    }
}
