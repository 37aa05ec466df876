//! Which counter a message is about: hospitals' messages name a terminal or an operator,
//! and a table in the configuration says where those stand.
//!
//! What the sender's connection says for itself comes first (a header, a port), then the
//! terminal, then the operator: people change their window, terminals hardly ever.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Sender;
use crate::protocol::id::CounterId;
use crate::settings::Problem;

/// `[[his.senders]]`: terminals and operators of one counter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Senders {
    /// Where they are.
    pub counter: CounterId,
    /// Terminals (`dev_no`, MSH-3, a `Claim`'s facility).
    #[serde(default)]
    pub devices: Vec<String>,
    /// Operators (`opter`, FT1-24, a `Claim`'s enterer).
    #[serde(default)]
    pub operators: Vec<String>,
}

/// The table, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Table {
    devices: BTreeMap<String, CounterId>,
    operators: BTreeMap<String, CounterId>,
}

/// A sender that stands in no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no counter is known for {sent}: name the terminal or the operator in [[his.senders]], or the counter in the header {HEADER}"
)]
pub struct Unknown {
    sent: String,
}

/// The header with which a sender names its counter itself.
pub const HEADER: &str = "counterproof-counter";

impl Table {
    /// The table of a configuration.
    pub fn new(senders: &[Senders]) -> Self {
        let mut table = Self::default();
        for of in senders {
            let counter =
                |names: &[String]| names.iter().map(|n| (n.clone(), of.counter.clone())).collect::<Vec<_>>();
            table.devices.extend(counter(&of.devices));
            table.operators.extend(counter(&of.operators));
        }
        table
    }

    /// Where a message comes from; `itself` is what its connection says.
    ///
    /// # Errors
    /// [`Unknown`] with what was sent.
    pub fn find(&self, itself: Option<&CounterId>, sender: &Sender) -> Result<CounterId, Unknown> {
        let device = || sender.device.as_ref().and_then(|d| self.devices.get(d));
        let operator = || sender.operator.as_ref().and_then(|o| self.operators.get(o));
        itself.or_else(device).or_else(operator).cloned().ok_or_else(|| {
            let named = [("terminal", &sender.device), ("operator", &sender.operator)];
            let named: Vec<String> = named
                .iter()
                .filter_map(|(what, name)| name.as_ref().map(|n| format!("{what} `{}`", n.escape_debug())))
                .collect();
            let nobody = || "a message that names neither terminal nor operator".to_owned();
            Unknown { sent: if named.is_empty() { nobody() } else { named.join(", ") } }
        })
    }
}

/// What is wrong with the table: counters that are not there, names that stand twice.
pub fn problems(senders: &[Senders], counters: &[&CounterId]) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut seen: BTreeMap<(&str, &str), &CounterId> = BTreeMap::new();
    for (i, of) in senders.iter().enumerate() {
        if !counters.contains(&&of.counter) {
            let known: Vec<_> = counters.iter().map(|c| c.as_str()).collect();
            out.push(Problem::new(
                &format!("his.senders[{i}].counter"),
                &of.counter,
                known.join(", "),
                "Name one of this box's counters.",
            ));
        }
        for (kind, names) in [("devices", &of.devices), ("operators", &of.operators)] {
            for name in names {
                let Some(other) = seen.insert((kind, name), &of.counter) else { continue };
                out.push(Problem::new(
                    &format!("his.senders[{i}].{kind}"),
                    format!("`{name}`, which stands at counter {other} already"),
                    "each name once",
                    "A terminal or an operator is at one counter; who changes windows is found by the terminal.",
                ));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn senders() -> Vec<Senders> {
        toml::from_str::<BTreeMap<String, Vec<Senders>>>(
            "[[s]]\ncounter = 'w1'\ndevices = ['D-7']\n[[s]]\ncounter = 'w2'\noperators = ['op42']\n",
        )
        .unwrap()
        .remove("s")
        .unwrap()
    }

    #[test]
    fn the_connection_counts_most_and_the_terminal_more_than_the_operator() {
        let table = Table::new(&senders());
        let at = |itself: Option<&str>, device: Option<&str>, operator: Option<&str>| {
            let itself = itself.map(|i| i.parse().unwrap());
            let sender = Sender { operator: operator.map(Into::into), device: device.map(Into::into) };
            table.find(itself.as_ref(), &sender).map(String::from).map_err(|e| e.to_string())
        };
        assert_eq!(at(Some("w9"), Some("D-7"), Some("op42")), Ok("w9".into()));
        assert_eq!(at(None, Some("D-7"), Some("op42")), Ok("w1".into()));
        assert_eq!(at(None, Some("D-8"), Some("op42")), Ok("w2".into()));
        assert!(at(None, Some("D-8"), Some("op43")).unwrap_err().contains("terminal `D-8`, operator `op43`"));
        assert!(at(None, None, None).unwrap_err().contains("neither"));
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        let (w1, w2): (CounterId, CounterId) = ("w1".parse().unwrap(), "w2".parse().unwrap());
        assert!(problems(&senders(), &[&w1, &w2]).is_empty());
        let mut twice = senders();
        twice[0].operators.push("op42".into());
        assert!(format!("{:?}", problems(&twice, &[&w1, &w2])).contains("op42"));
        assert!(format!("{:?}", problems(&senders(), &[&w1])).contains("w2"));
    }
}
