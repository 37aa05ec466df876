//! Orders to boxes about their commissioning, as they were signed.

use super::{AgentChange, Store, StoreError, parse};
use crate::protocol::commission::{Commission, Order};
use crate::protocol::id::AgentId;
use crate::protocol::signed::Signed;

impl Store {
    /// Keeps an order that was signed. Refused if there is no such box, or an
    /// order of this number is held.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keep_commission(
        &self,
        order: &Order,
        commission: &Commission,
    ) -> Result<AgentChange, StoreError> {
        let label = || format!("commissions/{}", order.agent);
        let number = i64::try_from(order.number)
            .map_err(|_| StoreError::Content { label: label(), what: "a number too great".into() })?;
        let done = sqlx::query(
            "INSERT INTO commissions (agent, number, document, signature, signed_at) \
             SELECT name, $1, $2, $3, $4 FROM agents WHERE name = $5 ON CONFLICT DO NOTHING",
        )
        .bind(number)
        .bind(&commission.0.document)
        .bind(commission.0.signature.to_string())
        .bind(order.signed_at.as_millis())
        .bind(order.agent.as_str())
        .execute(&self.pool)
        .await?;
        Ok(AgentChange::of(done.rows_affected()))
    }

    /// The newest order to a box, with its number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn commission(&self, agent: &AgentId) -> Result<Option<(u64, Commission)>, StoreError> {
        let row: Option<(i64, String, String)> = sqlx::query_as(
            "SELECT number, document, signature FROM commissions WHERE agent = $1 ORDER BY number DESC LIMIT 1",
        )
        .bind(agent.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some((number, document, signature)) = row else { return Ok(None) };
        let signature = parse(&format!("commissions/{agent}"), &signature)?;
        Ok(Some((number.unsigned_abs(), Commission(Signed { document, signature }))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bureau::retention::Kind;
    use crate::bureau::store::agents::tests::box_with_key;
    use crate::bureau::store::tests::on_both;
    use crate::clock::WallTime;
    use crate::protocol::commission::tests::{key, order, subject};

    #[tokio::test]
    async fn the_newest_order_is_told_and_only_older_ones_end_at_their_limit() {
        on_both(async |store| {
            let (new, _) = box_with_key("box-1");
            let bureau = key();
            let keep = async |number: u64| {
                let order = order(number, &subject());
                store.keep_commission(&order, &Commission::sign(&order, &bureau).unwrap()).await.unwrap()
            };
            assert_eq!(keep(1).await, AgentChange::Refused, "there is no such box yet");
            store.add_agent(&new, WallTime::from_millis(1)).await.unwrap();
            assert_eq!(store.commission(&new.name).await.unwrap(), None);
            assert_eq!((keep(1).await, keep(2).await, keep(2).await), {
                (AgentChange::Done, AgentChange::Done, AgentChange::Refused)
            });
            let (number, newest) = store.commission(&new.name).await.unwrap().unwrap();
            assert_eq!((number, newest.verify(&bureau.public(), &new.name).unwrap().order().number), (2, 2));
            let at = WallTime::from_millis;
            assert_eq!(store.purge(Kind::Acts, at(99), at(100)).await.unwrap().deleted, 1);
            assert!(store.commission(&new.name).await.unwrap().is_some());
            assert_eq!(store.purge(Kind::Acts, at(99), at(100)).await.unwrap().deleted, 0);
        })
        .await;
    }
}
