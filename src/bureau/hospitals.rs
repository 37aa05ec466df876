//! Names and districts of hospitals, from a CSV file that people make.
//!
//! The file is taken whole or not at all ([`super::lines`]); its header is
//! `code,name,district`.

use std::path::Path;

use super::acts::{Person, note, on_one_line};
use super::store::{Hospital, Store};
use super::{BureauError, lines};
use crate::protocol::id::HospitalId;

const HEADER: [&str; 3] = ["code", "name", "district"];
/// Longest name and district, in characters.
const MOST_CHARACTERS: usize = 100;

/// Reads a file and keeps what it says; what was done, in words.
///
/// # Errors
/// If the file cannot be read, a line of it is wrong, or the store fails.
pub async fn import(store: &Store, by: &Person, file: &Path) -> Result<String, BureauError> {
    let place = file.display();
    let hospitals = lines::read_file(file, HEADER, hospital, |one| one.code.to_string())?;
    note(store, by, "hospitals import", &place.to_string(), format!("{} hospitals", hospitals.len())).await?;
    store.keep_hospitals(&hospitals).await?;
    Ok(format!("{} hospitals are known by name now", hospitals.len()))
}

fn hospital([code, name, district]: [&str; 3]) -> Result<Hospital, String> {
    let text = |what: &str, found: &str| {
        on_one_line(what, found.to_owned(), MOST_CHARACTERS).map_err(|e| e.to_string())
    };
    let code = code.parse::<HospitalId>().map_err(|e| e.to_string())?;
    Ok(Hospital { code, name: text("name", name)?, district: text("district", district)? })
}

/// One line per hospital.
pub fn table(hospitals: &[Hospital]) -> String {
    let mut text = format!("{:<16} {:<16} name\n", "code", "district");
    for Hospital { code, name, district } in hospitals {
        text.push_str(&format!("{:<16} {district:<16} {name}\n", code.to_string()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::on_both;

    #[tokio::test]
    async fn a_file_is_taken_whole_or_not_at_all() {
        on_both(async |store| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("hospitals.csv");
            let by = Person::of(Some("zhang".into())).unwrap();
            let import = async |text: &str| {
                std::fs::write(&file, text).unwrap();
                import(&store, &by, &file).await.map_err(|e| e.to_string())
            };
            import("\u{feff}code,name,district\r\nH1,第一人民医院,黄浦区\r\nH2,\"Two, Inc\",浦东\r\n")
                .await
                .unwrap();
            import("code,name,district\nH1,新一人民医院,黄浦区\n").await.unwrap();
            let e = import("code,name,district\nH3,x,y\nH 4,x,y\nH5,,y\nH6,x\nH3,x,y\n").await.unwrap_err();
            for told in ["4 faults", ":3: found `H 4`", ":4: name: found 0", ":5: found 2 fields", ":6: H3"] {
                assert!(e.contains(told), "{told} is not in {e}");
            }
            let e = import("code;name;district\nH3;x;y\n").await.unwrap_err();
            assert!(e.contains("expected code,name,district"), "{e}");
            let listed = store.hospitals().await.unwrap();
            let names: Vec<_> = listed.iter().map(|h| (h.code.as_str(), h.name.as_str())).collect();
            assert_eq!(names, [("H2", "Two, Inc"), ("H1", "新一人民医院")]);
            assert_eq!(store.acts(9).await.unwrap().len(), 2);
        })
        .await;
    }
}
