//! Every reference at once, erased without a key: when the package is removed,
//! nothing of biometrics stays, and the keys may be out of reach by then.
//!
//! Alerts, audit heads and the record of acts stay; that it was done is among
//! the acts and the purges.

use super::{Act, Database, StoreError, acts, engine, purges};
use crate::bureau::retention::Kind;
use crate::clock::WallTime;

/// Erases all references of a store, with `act` written down first; how many
/// there were, or nothing if there is no such file. What is deleted is
/// overwritten in a file and in its write-ahead log; a server gives its space up.
///
/// # Errors
/// If the store is a newer version's, or somebody still reads it, or it fails.
pub async fn erase_references(at: &Database, act: &Act) -> Result<Option<u64>, StoreError> {
    if let Database::File(path) = at
        && !path.try_exists().map_err(|source| StoreError::File { path: path.clone(), source })?
    {
        return Ok(None);
    }
    let pool = engine::open(at).await?;
    acts::write(&pool, act).await?;
    let all = WallTime::from_millis(i64::MAX);
    let purged = purges::run(&pool, Kind::References, all, act.at).await?;
    engine::clear_away(&pool, at).await?;
    pool.close().await;
    Ok(Some(purged.deleted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::NewReference;
    use crate::bureau::store::tests::store;
    use crate::crypto::Sha256;
    use crate::protocol::reference::Template;

    #[tokio::test]
    async fn no_reference_stays_in_any_file_and_the_act_does() {
        let dir = tempfile::tempdir().unwrap();
        let open = store(dir.path()).await;
        let cardholder = "P0001".parse().unwrap();
        let model = Sha256::of(b"model");
        let template = Template::from_raw(vec![3.0, 4.0]).unwrap();
        let photo = Sha256::of(b"photograph");
        let new =
            NewReference { cardholder: &cardholder, model, preprocessing: 1, template: &template, photo };
        open.add_reference(&new, WallTime::from_millis(1)).await.unwrap();
        open.close().await;
        let act = Act {
            at: WallTime::from_millis(2),
            by: "removal".into(),
            what: "erase-references".into(),
            about: "every cardholder".into(),
            detail: String::new(),
        };
        let path = dir.path().join("b.db");
        assert_eq!(erase_references(&path.as_path().into(), &act).await.unwrap(), Some(1));
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let needle = photo.to_string();
            assert!(!bytes.windows(needle.len()).any(|w| w == needle.as_bytes()));
        }
        let open = store(dir.path()).await;
        assert!(open.references(&cardholder, WallTime::from_millis(3)).await.unwrap().is_empty());
        assert_eq!(open.acts(1).await.unwrap(), [act]);
        assert_eq!(open.purge_reports(1).await.unwrap()[0].deleted, 1);
    }

    #[tokio::test]
    async fn where_there_is_no_store_none_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let act = Act {
            at: WallTime::from_millis(2),
            by: String::new(),
            what: String::new(),
            about: String::new(),
            detail: String::new(),
        };
        let path = dir.path().join("b.db");
        assert_eq!(erase_references(&path.as_path().into(), &act).await.unwrap(), None);
        assert!(!path.exists());
    }
}
