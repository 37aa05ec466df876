//! The windows of a counter's settlements: how far they reach, how neighbours cut
//! them, and those that are closed and may still be cut by one that is named late.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::{BoxTime, HisTime};
use crate::protocol::id::{CardholderId, SettlementId, VerificationId};

/// How far a window reaches.
pub struct Span {
    /// Before the settlement's moment.
    pub before: Duration,
    /// After it.
    pub after: Duration,
    /// Largest assumed difference of the clocks.
    pub error: Duration,
}

impl Span {
    /// The window around a moment, cut at the neighbours.
    pub fn around(&self, moment: BoxTime, neighbours: impl Iterator<Item = BoxTime>) -> (BoxTime, BoxTime) {
        let (mut from, mut to) = (moment.minus(self.before), moment.plus(self.after));
        for n in neighbours {
            let middle = BoxTime::from_millis(n.as_millis().midpoint(moment.as_millis()));
            if n >= moment {
                to = to.min(middle.minus(self.error));
            }
            if n <= moment {
                from = from.max(middle.plus(self.error));
            }
        }
        (from, to)
    }
}

/// A window that is closed, and may still be cut by a neighbour named late.
pub struct Judged {
    /// Whose window it is.
    pub settlement: SettlementId,
    /// Of whom.
    pub cardholder: CardholderId,
    /// By the HIS's clock.
    pub occurred_at: HisTime,
    /// By the box's.
    pub moment: BoxTime,
    /// From and to.
    pub window: (BoxTime, BoxTime),
    /// Its mismatch is held, or watched; before that it has no verdict yet.
    pub held: bool,
    /// A neighbour came in between: a mismatch no longer counts.
    pub cut: bool,
}

/// The closed windows of a counter.
pub type Windows = Arc<Mutex<HashMap<VerificationId, Judged>>>;

/// Those of now; a panic elsewhere does not lose them.
pub fn lock(windows: &Windows) -> MutexGuard<'_, HashMap<VerificationId, Judged>> {
    windows.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: Span = Span {
        before: Duration::from_millis(2000),
        after: Duration::from_millis(3000),
        error: Duration::from_millis(500),
    };

    fn t(ms: u64) -> BoxTime {
        BoxTime::from_millis(ms)
    }

    #[test]
    fn neighbours_cut_a_window_at_the_middle_less_the_error() {
        assert_eq!(SPAN.around(t(10_000), [].into_iter()), (t(8_000), t(13_000)));
        assert_eq!(SPAN.around(t(10_000), [t(14_000)].into_iter()), (t(8_000), t(11_500)));
        assert_eq!(SPAN.around(t(10_000), [t(7_000), t(14_000)].into_iter()), (t(9_000), t(11_500)));
        assert_eq!(SPAN.around(t(10_000), [t(90_000)].into_iter()), (t(8_000), t(13_000)));
    }

    proptest! {
        #[test]
        fn two_neighbours_never_share_a_frame(a in 5_000u64..50_000, b in 5_000u64..50_000) {
            let first = SPAN.around(t(a), [t(b)].into_iter());
            let second = SPAN.around(t(b), [t(a)].into_iter());
            let (left, right) = if a <= b { (first, second) } else { (second, first) };
            // Apart by twice the error, unless a window is empty anyway.
            if left.0 <= left.1 && right.0 <= right.1 {
                prop_assert!(left.1 < right.0);
            }
        }
    }
}
