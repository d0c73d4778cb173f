//! Namespaces that another installation serves as well, and was there first: nothing is made there, what is there
//! of this one goes, and nothing is written but that it is so.

use crds::Reason;

use super::work::verdict;
use crate::{
    podconfig::{Controller, wanted::Wanted},
    scope::precedence::Earlier,
};

impl Controller {
    /// Takes in what the installations serve now.
    pub(in crate::podconfig) fn look_at_installations(&mut self) {
        let (installation, served) = (&self.machine.installation, self.stores.served());
        let earlier = Earlier::than(installation, self.pods.scope(), &served);
        if earlier != self.earlier {
            self.earlier = earlier;
            self.touch_all();
        }
    }

    /// Refuses everything where another installation serves the namespace.
    pub(super) fn leave_to_others(&self, namespace: &str, mut judged: Wanted) -> Wanted {
        let Some(server) = self.earlier.server_of(namespace) else {
            return judged;
        };
        let why = Earlier::why(&self.machine.installation, server, namespace);
        let granted = std::mem::take(&mut judged.granted);
        let refused = granted.iter().map(|granted| {
            let refused = verdict::refused(granted, Reason::ServedTwice, why.clone());
            (granted.order, refused)
        });
        judged.refused = verdict::merge(judged.refused, refused.collect(), &[]);
        judged
    }
}
