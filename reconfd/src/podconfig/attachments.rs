//! Links that CNI plugins make, as a pass sees them: it asks, and never waits for a plugin.

use crds::{Reason, report::LinkState};

use super::{desired::Desired, outcome::LinkOutcome};

/// The outcomes of a pod's attachments, each with its order.
pub fn outcomes(desired: &Desired) -> Vec<(usize, LinkOutcome)> {
    let attachments = desired.attachments.iter();
    let unavailable = "this node runs no CNI plugins: its list, reinvoke.plugins, is empty";
    let outcomes = attachments.map(|attachment| {
        let why = (Reason::PluginNotFound, unavailable.to_owned());
        (attachment.order, attachment.outcome(LinkState::Failed, why))
    });
    outcomes.collect()
}
