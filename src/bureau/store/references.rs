//! Enrolled embeddings, sealed, found by cardholder. They are kept as the model
//! made them: under a box's transform they are brought only for that box.
//!
//! A fetch writes nothing: that a cardholder was looked up leaves no trace. While
//! a cardholder is exempt, a fetch finds nothing, as if nobody had enrolled them.

use sqlx::Row;

use super::{Agent, DbRow, Store, StoreError, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::id::CardholderId;
use crate::protocol::reference::{MAX_REFERENCES, Template};

/// A reference to be stored.
pub struct NewReference<'a> {
    /// Whose.
    pub cardholder: &'a CardholderId,
    /// SHA-256 of the recognizer that made it.
    pub model: Sha256,
    /// Version of alignment and preparation that made it.
    pub preprocessing: u32,
    /// The embedding.
    pub template: &'a Template,
    /// SHA-256 of the photograph; the photograph itself is not kept.
    pub photo: Sha256,
}

/// A reference as it is stored.
pub struct StoredReference {
    /// SHA-256 of the recognizer that made it.
    pub model: Sha256,
    /// Version of alignment and preparation that made it.
    pub preprocessing: u32,
    /// The embedding, under no transform.
    pub template: Template,
}

/// What a box is told of a cardholder.
pub struct FoundFor {
    /// Their references; none if they are not enrolled, or exempt.
    pub references: Vec<StoredReference>,
    /// Whether somebody is declared who acts for them.
    pub has_proxies: bool,
}

/// What became of a reference that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addition {
    /// It is stored.
    Added,
    /// The same photograph was enrolled before with the same model.
    SamePhoto,
    /// It is enrolled for somebody else with the same model.
    AnotherCardholder(CardholderId),
    /// The cardholder has [`MAX_REFERENCES`] for this model already.
    Full,
}

fn label(id: &str) -> String {
    format!("enrolments/{id}")
}

impl Store {
    /// Adds a reference to those the cardholder has.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_reference(&self, new: &NewReference<'_>, now: WallTime) -> Result<Addition, StoreError> {
        let id = uuid::Uuid::now_v7().to_string();
        let embedding = new.template.to_base64();
        let sealed = self.seal(&label(&id), embedding.as_bytes())?;
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "INSERT INTO enrolments (id, cardholder, model, preprocessing, photo, sealed, enrolled_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (cardholder, model, preprocessing, photo) DO NOTHING",
        )
        .bind(&id)
        .bind(new.cardholder.as_str())
        .bind(new.model.to_string())
        .bind(i64::from(new.preprocessing))
        .bind(new.photo.to_string())
        .bind(sealed)
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(Addition::SamePhoto);
        }
        // Two programs may enrol at once: what holds must hold where it is written.
        let other: Option<String> = sqlx::query_scalar(
            "SELECT cardholder FROM enrolments WHERE photo = $1 AND model = $2 AND preprocessing = $3 \
             AND cardholder <> $4 ORDER BY enrolled_at LIMIT 1",
        )
        .bind(new.photo.to_string())
        .bind(new.model.to_string())
        .bind(i64::from(new.preprocessing))
        .bind(new.cardholder.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(other) = other {
            return Ok(Addition::AnotherCardholder(parse("enrolments", &other)?));
        }
        let count: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM enrolments WHERE cardholder = $1 AND model = $2 AND preprocessing = $3",
        )
        .bind(new.cardholder.as_str())
        .bind(new.model.to_string())
        .bind(i64::from(new.preprocessing))
        .fetch_one(&mut *tx)
        .await?;
        if count > MAX_REFERENCES as i64 {
            return Ok(Addition::Full);
        }
        tx.commit().await?;
        Ok(Addition::Added)
    }

    /// The cardholders for whom a photograph is enrolled with a model.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn holders_of_photo(
        &self,
        photo: Sha256,
        model: Sha256,
        preprocessing: u32,
    ) -> Result<Vec<CardholderId>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT cardholder FROM enrolments WHERE photo = $1 AND model = $2 AND preprocessing = $3",
        )
        .bind(photo.to_string())
        .bind(model.to_string())
        .bind(i64::from(preprocessing))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|(cardholder,)| parse("enrolments", &cardholder)).collect()
    }

    /// A cardholder's references; empty if there are none, or if the cardholder
    /// is exempt at this moment. One question for both, so that neither the
    /// answer nor the work for it says which.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn references(
        &self,
        cardholder: &CardholderId,
        now: WallTime,
    ) -> Result<Vec<StoredReference>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, model, preprocessing, sealed FROM enrolments WHERE cardholder = $1 \
             AND NOT EXISTS (SELECT 1 FROM exemptions WHERE exemptions.cardholder = $1 AND until > $2) \
             ORDER BY enrolled_at, id",
        )
        .bind(cardholder.as_str())
        .bind(now.as_millis())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| self.read_reference(row)).collect()
    }

    /// The same for a box, if its record is still the one that the caller has; nothing
    /// if it was suspended or anything of it was replaced. One question for all of it.
    ///
    /// # Errors
    /// If the database fails, or a row cannot be opened.
    pub async fn references_for(
        &self,
        agent: &Agent,
        cardholder: &CardholderId,
        now: WallTime,
    ) -> Result<Option<FoundFor>, StoreError> {
        let (version, issue) = agent.transform.parts();
        let rows = sqlx::query(
            "SELECT e.id, e.model, e.preprocessing, e.sealed, \
             (SELECT COUNT(*) FROM declared_proxies p WHERE p.cardholder = $8 AND p.until > $2) AS proxies \
             FROM agents a LEFT JOIN enrolments e ON e.cardholder = $1 \
             AND NOT EXISTS (SELECT 1 FROM exemptions x WHERE x.cardholder = $1 AND x.until > $2) \
             WHERE a.name = $3 AND a.suspended = FALSE AND a.public_key = $4 AND a.certificate = $5 \
             AND a.transform_version = $6 AND a.transform_issue = $7 ORDER BY e.enrolled_at, e.id",
        )
        .bind(cardholder.as_str())
        .bind(now.as_millis())
        .bind(agent.name.as_str())
        .bind(agent.public_key.to_base64())
        .bind(agent.certificate.to_string())
        .bind(i64::from(version))
        .bind(issue)
        .bind(self.mark(cardholder))
        .fetch_all(&self.pool)
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let has_proxies = first.try_get::<i64, _>("proxies")? > 0;
        let references = match first.try_get::<Option<&str>, _>("id")? {
            None => Vec::new(),
            Some(_) => rows.iter().map(|row| self.read_reference(row)).collect::<Result<_, _>>()?,
        };
        Ok(Some(FoundFor { references, has_proxies }))
    }

    fn read_reference(&self, row: &DbRow) -> Result<StoredReference, StoreError> {
        let label = label(row.try_get("id")?);
        let content = |what: &str| StoreError::Content { label: label.clone(), what: what.into() };
        let plain = self
            .key
            .open(&label, row.try_get("sealed")?)
            .map_err(|source| StoreError::Seal { label: label.clone(), source })?;
        let text = std::str::from_utf8(&plain).map_err(|_| content("not text"))?;
        Ok(StoredReference {
            model: parse(&label, row.try_get("model")?)?,
            preprocessing: u32::try_from(row.try_get::<i64, _>("preprocessing")?)
                .map_err(|_| content("not a version"))?,
            template: Template::from_base64(text).map_err(|e| content(&e.to_string()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::tests::{box_with_key, on_both};
    use crate::bureau::store::{Exemption, NewKey};

    /// A reference from photograph `n`.
    fn photo<'a>(cardholder: &'a CardholderId, template: &'a Template, n: u8) -> NewReference<'a> {
        let (model, photo) = (Sha256::of(b"m"), Sha256::of(&[n]));
        NewReference { cardholder, model, preprocessing: 1, template, photo }
    }

    #[tokio::test]
    async fn a_photograph_is_enrolled_once_and_sixteen_are_enough() {
        on_both(async |store| {
            let cardholder: CardholderId = "P0001".parse().unwrap();
            let template = Template::from_raw(vec![3.0, 4.0]).unwrap();
            let add = async |n: u8, at: i64| {
                let new = photo(&cardholder, &template, n);
                store.add_reference(&new, WallTime::from_millis(at)).await.unwrap()
            };
            assert!(store.references(&cardholder, WallTime::from_millis(0)).await.unwrap().is_empty());
            assert_eq!(add(0, 0).await, Addition::Added);
            assert_eq!(add(0, 1).await, Addition::SamePhoto);
            let another: CardholderId = "P0002".parse().unwrap();
            let new = photo(&another, &template, 0);
            let refused = store.add_reference(&new, WallTime::from_millis(1)).await.unwrap();
            assert_eq!(refused, Addition::AnotherCardholder(cardholder.clone()));
            assert!(store.references(&another, WallTime::from_millis(1)).await.unwrap().is_empty());
            for n in 1..16 {
                assert_eq!(add(n, 1).await, Addition::Added);
            }
            assert_eq!(add(16, 1).await, Addition::Full);
            let held = store.references(&cardholder, WallTime::from_millis(1)).await.unwrap();
            assert!(
                held.len() == 16 && held.iter().all(|r| r.model == Sha256::of(b"m") && r.preprocessing == 1)
            );
            assert_eq!(held[0].template.values(), [0.6, 0.8]);
        })
        .await;
    }

    #[tokio::test]
    async fn references_end_at_their_limit() {
        use crate::bureau::retention::Kind;
        let dir = tempfile::tempdir().unwrap();
        let store = crate::bureau::store::tests::store(dir.path()).await;
        let cardholder: CardholderId = "P0001".parse().unwrap();
        let template = Template::from_raw(vec![3.0, 4.0]).unwrap();
        let at = WallTime::from_millis;
        for n in 1..=2 {
            store.add_reference(&photo(&cardholder, &template, n), at(i64::from(n))).await.unwrap();
        }
        let done = store.purge(Kind::References, at(2), at(9)).await.unwrap();
        assert_eq!((done.deleted, done.oldest_deleted, done.oldest_left), (1, Some(at(1)), Some(at(2))));
        assert_eq!(store.references(&cardholder, at(9)).await.unwrap().len(), 1);
        assert_eq!(store.purge_reports(1).await.unwrap()[0].oldest_left, Some(at(2)));
    }

    #[tokio::test]
    async fn a_box_gets_references_by_the_record_that_its_caller_knows_and_by_no_other() {
        on_both(async |store| {
            let (new, _) = box_with_key("box-1");
            let at = WallTime::from_millis;
            store.add_agent(&new, at(0)).await.unwrap();
            let cardholder: CardholderId = "P0001".parse().unwrap();
            let known = store.agent(&new.name).await.unwrap().unwrap();
            let found = async |agent: &Agent, now: i64| {
                let found = store.references_for(agent, &cardholder, at(now)).await.unwrap();
                found.map(|found| found.references.len())
            };
            assert_eq!(found(&known, 1).await, Some(0));
            let template = Template::from_raw(vec![3.0, 4.0]).unwrap();
            for n in 0..2 {
                store.add_reference(&photo(&cardholder, &template, n), at(1)).await.unwrap();
            }
            assert_eq!(found(&known, 1).await, Some(2));
            let exemption = Exemption {
                cardholder: cardholder.clone(),
                until: at(5),
                by: "li".into(),
                at: at(1),
                reason: String::new(),
            };
            store.exempt(&exemption).await.unwrap();
            assert_eq!((found(&known, 2).await, found(&known, 5).await), (Some(0), Some(2)));

            store.set_suspended(&new.name, true).await.unwrap();
            assert_eq!(found(&known, 6).await, None);
            store.set_suspended(&new.name, false).await.unwrap();
            assert_eq!(found(&known, 6).await, Some(2));
            store.reissue_transform(&new.name).await.unwrap();
            assert_eq!(found(&known, 6).await, None);
            let known = store.agent(&new.name).await.unwrap().unwrap();
            assert_eq!(found(&known, 6).await, Some(2));
            let (other, _) = box_with_key("new-keys");
            let rotation = NewKey {
                name: new.name.clone(),
                public_key: other.public_key,
                certificate: other.certificate,
                overlap: std::time::Duration::from_secs(1),
            };
            store.rotate_agent(&rotation, at(7)).await.unwrap();
            assert_eq!(found(&known, 8).await, None);
            let nobody = Agent { name: "box-9".parse().unwrap(), ..known };
            assert_eq!(found(&nobody, 8).await, None);
        })
        .await;
    }
}
