//! Namespaces that another installation serves as well, and was there first: nothing is made there, what is there
//! of this one goes, and nothing is written but that it is so.

use crds::Reason;

use super::context::outcomes;
use crate::{
    podconfig::{NodeReconciler, desired::Desired},
    scope::precedence::Earlier,
};

impl NodeReconciler {
    /// Takes in what the installations serve now.
    pub(in crate::podconfig) fn refresh_precedence(&mut self) {
        let (installation, served) = (&self.machine.installation, self.stores.served());
        let earlier = Earlier::than(installation, self.pods.scope(), &served);
        if earlier != self.earlier {
            self.earlier = earlier;
            self.enqueue_all();
        }
    }

    /// Refuses everything where another installation serves the namespace.
    pub(super) fn apply_precedence(&self, namespace: &str, mut judged: Desired) -> Desired {
        let Some(server) = self.earlier.server_of(namespace) else {
            return judged;
        };
        let why = Earlier::why(&self.machine.installation, server, namespace);
        let granted = std::mem::take(&mut judged.granted);
        let refused = granted.iter().map(|granted| {
            let refused = outcomes::refused(granted, Reason::ServedTwice, why.clone());
            (granted.order, refused)
        });
        judged.refused = outcomes::merge(judged.refused, refused.collect(), &[]);
        judged
    }
}
