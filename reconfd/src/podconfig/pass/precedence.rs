//! Namespaces where another installation has precedence: no link is made, existing ones of this
//! installation are deleted, and only that is reported.

use crds::Reason;

use super::outcomes;
use crate::podconfig::{NodeReconciler, desired::Desired};
use store::scope::precedence::Earlier;

impl NodeReconciler {
    /// Updates which installations have precedence.
    pub(in crate::podconfig) fn refresh_precedence(&mut self) {
        let (installation, served) = (&self.machine.installation, self.stores.served());
        let earlier = Earlier::than(installation, self.pods.scope(), &served);
        if earlier != self.earlier {
            self.earlier = earlier;
            self.enqueue_all();
        }
    }

    /// Refuses all links where another installation has precedence.
    pub(super) fn apply_precedence(&self, namespace: &str, mut desired: Desired) -> Desired {
        let Some(server) = self.earlier.server_of(namespace) else {
            return desired;
        };
        let why = Earlier::why(&self.machine.installation, server, namespace);
        let granted = std::mem::take(&mut desired.granted);
        let refused = granted.iter().map(|granted| {
            let refused = outcomes::refused(granted, Reason::ServedTwice, why.clone());
            (granted.order, refused)
        });
        desired.refused = outcomes::merge(desired.refused, refused.collect(), &[]);
        desired
    }
}
