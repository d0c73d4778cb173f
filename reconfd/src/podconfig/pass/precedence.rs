//! Namespaces where another installation has precedence: no link is made, existing ones of this
//! installation are deleted, and only that is reported.

use crds::{Reason, report::LinkState};
use store::scope::precedence::Earlier;

use super::outcomes;
use crate::podconfig::{desired::Desired, objects::Objects};

impl Objects {
    /// Refuses all links where another installation has precedence.
    pub(super) fn apply_precedence(&self, namespace: &str, mut desired: Desired) -> Desired {
        let Some(server) = self.earlier_server(namespace) else {
            return desired;
        };
        let why = Earlier::why(&self.installation, server, namespace);
        let granted = std::mem::take(&mut desired.granted);
        let links = granted.iter().map(|granted| {
            let refused = outcomes::refused(granted, Reason::ServedTwice, why.clone());
            (granted.order, refused)
        });
        let attachments = std::mem::take(&mut desired.attachments);
        let attachments = attachments.iter().map(|attachment| {
            let why = (Reason::ServedTwice, why.clone());
            (attachment.order, attachment.outcome(LinkState::Failed, why))
        });
        let refused = links.chain(attachments).collect();
        desired.refused = outcomes::merge(desired.refused, refused, std::iter::empty());
        desired
    }
}
