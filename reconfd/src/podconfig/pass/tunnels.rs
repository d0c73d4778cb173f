//! Updates of tunnels with `peers: {auto: {}}`.

use std::collections::BTreeSet;

use super::context::PodContext;
use crate::podconfig::{NodeReconciler, segments::endpoints};

/// One pod updates a tunnel for all of its users.
pub struct TunnelUpdate {
    pod: String,
    vni: i32,
    port: i32,
    /// The other users.
    others: BTreeSet<String>,
}

impl TunnelUpdate {
    fn is_done_by(&self, ctx: &PodContext) -> bool {
        let found = ctx
            .granted
            .iter()
            .filter_map(|g| g.link.kind.data()?.found());
        ctx.uid() == self.pod
            && ctx.is_complete()
            && found
                .into_iter()
                .any(|tunnel| endpoints::is_tunnel(tunnel, self.vni, self.port))
    }
}

impl NodeReconciler {
    /// The remote endpoints of a tunnel have changed in this namespace. All pods share one device,
    /// so that one of them is enough.
    pub(in crate::podconfig) fn enqueue_tunnel(&mut self, namespace: &str, vni: i32, port: i32) {
        let mut others = self.segments.owners.users_of_found(namespace, vni, port);
        let is_complete = |uid: &&String| {
            let applied = self.applied.get(*uid);
            applied.is_some_and(|applied| applied.seen && !applied.is_incomplete)
        };
        let pod = others.iter().find(is_complete).or(others.first()).cloned();
        let Some(pod) = pod else {
            return;
        };
        others.remove(&pod);
        self.dirty.insert(pod.clone());
        self.tunnel_updates.push(TunnelUpdate {
            pod,
            vni,
            port,
            others,
        });
    }

    /// If that pod could not do it, or does not use the tunnel any more, the others are enqueued.
    pub(super) fn retry_tunnel_updates(&mut self, contexts: &[PodContext]) {
        let tunnel_updates = std::mem::take(&mut self.tunnel_updates).into_iter();
        let is_open = |update: &TunnelUpdate| !contexts.iter().any(|ctx| update.is_done_by(ctx));
        let open = tunnel_updates.filter(is_open);
        self.dirty.extend(open.flat_map(|update| update.others));
    }
}
