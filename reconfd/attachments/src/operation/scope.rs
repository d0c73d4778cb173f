//! What an operation is about, for the limits that it is subject to.

use std::collections::BTreeSet;

use super::{Goal, Operation};
use crate::entry::Phase;

impl Operation {
    /// Whether it may end in a new attachment; such operations are rate-limited.
    pub fn is_attaching(&self) -> bool {
        self.goal == Goal::Attach || (self.goal == Goal::Delete && self.next.is_some())
    }

    /// Whether it deletes what is stored.
    pub fn is_deleting(&self) -> bool {
        matches!(self.entry.phase, Phase::Deleting(_))
    }

    /// The networks of its chains; `None`: they are not known yet.
    pub fn networks(&self) -> Option<BTreeSet<String>> {
        let entries = [Some(&self.entry), self.next.as_ref()];
        let networks = entries.into_iter().flatten();
        let networks = networks.map(|entry| entry.chain.network.clone());
        (self.goal != Goal::TakeOver).then(|| networks.collect())
    }
}
