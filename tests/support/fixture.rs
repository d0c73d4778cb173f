//! How a test opens: a node, what it has before the daemon starts, and the daemon.

use super::{
    daemon::Daemon,
    manifests::{config, on_bridge},
    node::TestNode,
    pod::TestPod,
};

/// `TestNode::builder().own_bridges().daemon().start()`
pub struct Builder {
    node: TestNode,
    has_daemon: bool,
}

impl TestNode {
    pub fn builder() -> Builder {
        Builder {
            node: Self::new(),
            has_daemon: false,
        }
    }

    /// A PodConfig for the pod of this name, in a file called as the PodConfig.
    pub fn configure(&self, namespace: &str, name: &str, pod: &str, links: &str) {
        self.apply(name, &config(namespace, name, pod, links));
    }

    /// A link on the bridge `blue` for one pod.
    pub fn connect(&self, namespace: &str, pod: &str, link: &str, address: &str) {
        let links = on_bridge(link, "blue", address);
        self.apply(
            &format!("{namespace}-{pod}"),
            &config(namespace, pod, pod, &links),
        );
    }

    /// A bare pod for which a link `data0` on the bridge `blue` is requested.
    pub fn connected(&self, namespace: &str, pod: &str, address: &str) -> TestPod<'_> {
        let created = self.bare_pod(namespace, pod);
        self.connect(namespace, pod, "data0", address);
        created
    }
}

impl Builder {
    /// Every namespace may have links on bridges of its own, with assigned MACs.
    pub fn own_bridges(self) -> Self {
        self.node.allow_own_bridges();
        self
    }

    /// Every namespace may have every veth: for tests that are not about policy.
    pub fn any_veth(self) -> Self {
        self.node.allow_everything();
        self
    }

    /// A daemon that runs as long as the node.
    pub fn daemon(mut self) -> Self {
        self.has_daemon = true;
        self
    }

    pub fn start(self) -> TestNode {
        if self.has_daemon {
            self.node.keep_daemon(self.node.daemon());
        }
        self.node
    }

    /// For a test that asks the daemon something, or ends it.
    pub fn start_with_daemon(self) -> (TestNode, Daemon) {
        let daemon = self.node.daemon();
        (self.node, daemon)
    }
}
