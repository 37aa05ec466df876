//! The privacy policy that the bureau declared for each box.

use std::collections::BTreeMap;

use super::{AgentChange, Store, StoreError, parse};
use crate::clock::WallTime;
use crate::crypto::Sha256;
use crate::protocol::id::AgentId;
use crate::protocol::policy::PolicyDocument;

impl Store {
    /// Declares a policy for a box, in the place of the one before.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn declare_policy(
        &self,
        agent: &AgentId,
        document: &PolicyDocument,
        now: WallTime,
    ) -> Result<AgentChange, StoreError> {
        // From the table of boxes, so that an unknown one is no row rather than an error.
        let done = sqlx::query(
            "INSERT INTO policies (agent, digest, document, declared_at) \
             SELECT name, $1, $2, $3 FROM agents WHERE name = $4 \
             ON CONFLICT (agent) DO UPDATE SET digest = excluded.digest, \
             document = excluded.document, declared_at = excluded.declared_at",
        )
        .bind(document.digest.to_string())
        .bind(document.canonical())
        .bind(now.as_millis())
        .bind(agent.as_str())
        .execute(&self.pool)
        .await?;
        Ok(AgentChange::of(done.rows_affected()))
    }

    /// Takes back what was declared for a box.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn withdraw_policy(&self, agent: &AgentId) -> Result<AgentChange, StoreError> {
        let done = sqlx::query("DELETE FROM policies WHERE agent = $1")
            .bind(agent.as_str())
            .execute(&self.pool)
            .await?;
        Ok(AgentChange::of(done.rows_affected()))
    }

    /// What is declared for a box.
    ///
    /// # Errors
    /// If the database fails, or the stored document is not the one of its digest.
    pub async fn declared_policy(&self, agent: &AgentId) -> Result<Option<PolicyDocument>, StoreError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT digest, document FROM policies WHERE agent = $1")
                .bind(agent.as_str())
                .fetch_optional(&self.pool)
                .await?;
        let Some((digest, document)) = row else { return Ok(None) };
        let label = format!("policies/{agent}");
        let content = |what: String| StoreError::Content { label: label.clone(), what };
        let policy = serde_json::from_str(&document).map_err(|e| content(e.to_string()))?;
        let held = PolicyDocument::of(policy);
        if held.digest != parse::<Sha256>(&label, &digest)? {
            return Err(content(format!("the document has the digest {}, not {digest}", held.digest)));
        }
        Ok(Some(held))
    }

    /// The digest of what is declared, by box.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn declared_digests(&self) -> Result<BTreeMap<AgentId, Sha256>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT agent, digest FROM policies").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|(agent, digest)| {
                let label = format!("policies/{agent}");
                Ok((parse(&label, agent)?, parse(&label, digest)?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::store::agents::tests::box_with_key;
    use crate::bureau::store::tests::on_both;
    use serde_json::json;

    #[tokio::test]
    async fn a_policy_is_declared_for_a_known_box_replaced_and_withdrawn() {
        on_both(async |store| {
            let (new, _) = box_with_key("box-1");
            let (name, now) = (&new.name, WallTime::from_millis(1));
            let first = PolicyDocument::of(json!({"contact": "办公室"}));
            assert_eq!(store.declare_policy(name, &first, now).await.unwrap(), AgentChange::Refused);
            store.add_agent(&new, now).await.unwrap();
            assert_eq!(store.declared_policy(name).await.unwrap(), None);
            let second = PolicyDocument::of(json!({"contact": "desk"}));
            for document in [&first, &second] {
                assert_eq!(store.declare_policy(name, document, now).await.unwrap(), AgentChange::Done);
                assert_eq!(store.declared_policy(name).await.unwrap().as_ref(), Some(document));
            }
            assert_eq!(
                store.declared_digests().await.unwrap(),
                BTreeMap::from([(name.clone(), second.digest)])
            );
            assert_eq!(store.withdraw_policy(name).await.unwrap(), AgentChange::Done);
            assert_eq!(store.withdraw_policy(name).await.unwrap(), AgentChange::Refused);
            assert_eq!(store.declared_policy(name).await.unwrap(), None);
        })
        .await;
    }

    #[tokio::test]
    async fn a_document_that_was_changed_in_the_store_is_not_given_out() {
        on_both(async |store| {
            let (new, _) = box_with_key("box-1");
            let now = WallTime::from_millis(1);
            store.add_agent(&new, now).await.unwrap();
            let document = PolicyDocument::of(json!({"contact": "desk"}));
            store.declare_policy(&new.name, &document, now).await.unwrap();
            sqlx::query("UPDATE policies SET document = '{\"contact\":\"nobody\"}'")
                .execute(&store.pool)
                .await
                .unwrap();
            let refused = store.declared_policy(&new.name).await.unwrap_err();
            assert!(refused.to_string().contains("policies/box-1"), "{refused}");
        })
        .await;
    }
}
