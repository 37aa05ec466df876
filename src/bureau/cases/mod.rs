//! What a confirmed alert becomes: a case, and what is handed to another authority.
//!
//! Promises: a person decides each step, and a second one before anything leaves the
//! bureau (the store enforces it, [`crate::bureau::store`]); every deadline is counted
//! in China's working days and says where a holiday table was missing; letters are
//! numbered without gaps. It holds no name, narrative or contact in clear.
//!
//! [`config`] says which thresholds, deadlines and holidays hold, [`workdays`] counts,
//! [`words`] are the states and kinds, [`texts`] what is sealed, [`money`] and [`numbers`] how amounts and numbers
//! are written, [`due`] what is due when, [`ledger`] the list of all of it, [`yearly`]
//! the report of a year, [`table`] writes both as CSV. What it does not do: judge.

pub mod config;
pub mod due;
pub mod ledger;
pub mod money;
pub mod numbers;
pub mod table;
pub mod texts;
pub mod words;
pub mod workdays;
pub mod yearly;

pub use config::{CalendarYear, CasesConfig, Deadlines, Threshold};
pub use workdays::{Calendar, Due};

/// How cases are handled here: what the configuration says of them.
#[derive(Debug, Clone, Default)]
pub struct Practice {
    /// Names, thresholds.
    pub config: CasesConfig,
    /// Deadlines and the calendar they are counted in.
    pub rules: due::Rules,
}

impl Practice {
    /// From the parts of a configuration.
    pub fn new(config: CasesConfig, tables: &[CalendarYear]) -> Self {
        let rules = due::Rules { deadlines: config.deadlines, calendar: config::calendar(tables) };
        Self { config, rules }
    }
}
