//! The two abnormalities (两个异常): cardholders whose settlements or amounts are far
//! from those of the others of the same medical type, next to their mismatch alerts.
//!
//! The population of a medical type is everybody who had a settlement of it in the
//! period; who had none is not in the file. Somebody with settlements of several
//! types is looked at in each. What comes out is an order in which to look, never a
//! finding: a dialysis patient is rightly far from the usual.

use std::collections::BTreeMap;

use super::robust::Usual;

/// What one cardholder settled of one medical type in the period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The cardholder's mark.
    pub cardholder: String,
    /// Of which medical type.
    pub medical_type: String,
    /// How many settlements.
    pub settlements: i64,
    /// Their amounts together, in fen.
    pub amount_fen: i64,
}

/// How far a number is from the usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Far {
    /// The robust z-score; nothing where more than half have the same number.
    pub score: Option<f64>,
    /// The share of the population that has as much or less, in percent.
    pub percentile: f64,
}

/// A cardholder in one medical type.
#[derive(Debug, Clone, PartialEq)]
pub struct Unusual {
    /// What was settled.
    pub settled: Settled,
    /// How far the number of settlements is from the usual.
    pub settlements: Far,
    /// How far the amount is.
    pub amount: Far,
    /// The cardholder's mismatch alerts in the period.
    pub alerts: u64,
}

/// What is usual of one medical type.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    /// Cardholders.
    pub people: usize,
    /// Median and MAD of settlements, where they are enough.
    pub settlements: Option<(f64, f64)>,
    /// Median and MAD of amounts in fen, where they are enough.
    pub amount_fen: Option<(f64, f64)>,
}

/// By what the list is ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By the score of settlements.
    #[default]
    Settlements,
    /// By the score of amounts.
    Amount,
    /// By mismatch alerts, then by the score of settlements.
    Alerts,
}

/// The list and what it stands on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Medical types with what is usual there.
    pub populations: BTreeMap<String, Population>,
    /// The furthest out first.
    pub list: Vec<Unusual>,
}

/// The cardholders that are furthest from the usual, at most `most`; those of medical
/// types with fewer than `least_people` are left out, and their types say so by having
/// no median. `alerts` counts mismatch alerts by mark.
pub fn find(
    settled: Vec<Settled>,
    alerts: &BTreeMap<String, u64>,
    least_people: usize,
    order: Order,
    most: usize,
) -> Found {
    let mut by_type: BTreeMap<String, Vec<Settled>> = BTreeMap::new();
    for one in settled {
        by_type.entry(one.medical_type.clone()).or_default().push(one);
    }
    let mut found = Found::default();
    for (medical_type, all) in by_type {
        let usual = |of: fn(&Settled) -> i64| Usual::of(all.iter().map(of).collect(), least_people);
        let (settlements, amount) = (usual(|s| s.settlements), usual(|s| s.amount_fen));
        let told = |u: &Option<Usual>| u.as_ref().map(|u| (u.median(), u.mad()));
        let population =
            Population { people: all.len(), settlements: told(&settlements), amount_fen: told(&amount) };
        found.populations.insert(medical_type, population);
        let (Some(settlements), Some(amount)) = (settlements, amount) else { continue };
        let far = |u: &Usual, n| Far { score: u.score(n), percentile: u.percentile(n) };
        found.list.extend(all.into_iter().map(|settled| Unusual {
            settlements: far(&settlements, settled.settlements),
            amount: far(&amount, settled.amount_fen),
            alerts: alerts.get(&settled.cardholder).copied().unwrap_or_default(),
            settled,
        }));
        // Not the whole of a city at once: what is not among the first of its type is not among the first of all.
        sort(&mut found.list, order);
        found.list.truncate(most);
    }
    found
}

fn sort(list: &mut [Unusual], order: Order) {
    // Without a score comes after those with one.
    let rank = |far: &Far| (far.score.unwrap_or(f64::NEG_INFINITY), far.percentile);
    let further = |a: &Far, b: &Far| {
        let ((a, p), (b, q)) = (rank(a), rank(b));
        b.total_cmp(&a).then(q.total_cmp(&p))
    };
    list.sort_by(|a, b| {
        let by = match order {
            Order::Settlements => further(&a.settlements, &b.settlements),
            Order::Amount => further(&a.amount, &b.amount),
            Order::Alerts => b.alerts.cmp(&a.alerts).then(further(&a.settlements, &b.settlements)),
        };
        by.then_with(|| b.alerts.cmp(&a.alerts)).then_with(|| a.settled.cardholder.cmp(&b.settled.cardholder))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(n: usize, medical_type: &str, settlements: i64, amount_fen: i64) -> Settled {
        Settled { cardholder: format!("m{n:04}"), medical_type: medical_type.into(), settlements, amount_fen }
    }

    #[test]
    fn each_is_held_against_its_own_medical_type() {
        // Ten settlements are many for an out-patient, and usual for dialysis.
        let mut all: Vec<_> = (0..40).map(|n| one(n, "11", 1 + n as i64 % 4, 10_000 + n as i64)).collect();
        all.push(one(900, "11", 10, 10_000));
        all.extend((100..140).map(|n| one(n, "14", 9 + n as i64 % 4, 90_000)));
        all.extend((200..203).map(|n| one(n, "21", 1, 1)));
        let alerts = [("m0003".to_owned(), 2)].into();
        let found = find(all.clone(), &alerts, 30, Order::Settlements, 10);
        assert_eq!(found.list.len(), 10);
        assert_eq!(found.list[0].settled.cardholder, "m0900");
        assert!(
            found.list[0].settlements.score.unwrap() > 4.0 && found.list[0].settlements.percentile == 100.0
        );
        // Too few are said, and not computed.
        let few = &found.populations["21"];
        assert_eq!((few.people, few.settlements), (3, None));
        assert!(found.list.iter().all(|u| u.settled.medical_type != "21"));
        // All amounts of type 14 are alike: no score, but a percentile.
        assert_eq!(found.populations["14"].amount_fen, Some((90_000.0, 0.0)));
        let by_alerts = find(all, &alerts, 30, Order::Alerts, 3);
        assert_eq!((by_alerts.list[0].settled.cardholder.as_str(), by_alerts.list[0].alerts), ("m0003", 2));
    }

    proptest! {
        #[test]
        fn cutting_the_list_early_changes_nothing(
            all in proptest::collection::vec((0usize..50, 0u8..3, 0i64..20, 0i64..500), 0..120),
            most in 0usize..20,
        ) {
            let all: Vec<_> = all.iter().enumerate()
                .map(|(i, (_, t, s, a))| one(i, &format!("1{t}"), *s, *a)).collect();
            for order in [Order::Settlements, Order::Amount, Order::Alerts] {
                let whole = find(all.clone(), &BTreeMap::new(), 2, order, usize::MAX);
                let cut = find(all.clone(), &BTreeMap::new(), 2, order, most);
                prop_assert_eq!(&whole.list[..most.min(whole.list.len())], &cut.list[..]);
            }
        }
    }
}
