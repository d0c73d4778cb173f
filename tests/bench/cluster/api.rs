//! The API server, asked as any client asks; and a watch of PodConfigs, which is the measure for the daemon's.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use crds::{PodConfig, PodConfigPolicy};
use futures::TryStreamExt;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Pod},
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::node::NAMESPACE;

const PATIENCE: Duration = Duration::from_secs(180);

pub struct Api {
    runtime: Runtime,
    client: Client,
}

/// What the watch heard of a PodConfig, and when.
#[derive(Debug)]
pub struct Told {
    pub at: Instant,
    pub name: String,
    /// Its status says that every pod has all links.
    pub is_ready: bool,
}

/// Hears of every change of a PodConfig.
pub struct Watch(Receiver<Told>);

impl Api {
    pub fn new() -> Result<Self> {
        let runtime = Runtime::new()?;
        let client = runtime
            .block_on(Client::try_default())
            .context("find the API server: run `make bench-cluster`")?;
        Ok(Self { runtime, client })
    }

    /// The namespace, and a policy for it.
    pub fn prepare(&self) -> Result<()> {
        let namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
        });
        self.apply_to(kube::Api::<Namespace>::all(self.client.clone()), &namespace)?;
        let policy: Value = serde_saphyr::from_str(POLICY)?;
        self.apply_to(
            kube::Api::<PodConfigPolicy>::all(self.client.clone()),
            &policy,
        )
    }

    /// Nothing of the bench stays.
    pub fn clear(&self) -> Result<()> {
        let policies = kube::Api::<PodConfigPolicy>::all(self.client.clone());
        let namespaces = kube::Api::<Namespace>::all(self.client.clone());
        self.runtime.block_on(async {
            policies.delete("bench", &DeleteParams::default()).await?;
            namespaces
                .delete(NAMESPACE, &DeleteParams::default())
                .await?;
            Ok(())
        })
    }

    /// A PodConfig, as `kubectl apply --server-side` sends it; when it was sent.
    pub fn apply(&self, config: &Value) -> Result<Instant> {
        let start = Instant::now();
        self.apply_to(self.namespaced::<PodConfig>(), config)?;
        Ok(start)
    }

    pub fn withdraw(&self, name: &str) -> Result<Instant> {
        let (api, start) = (self.namespaced::<PodConfig>(), Instant::now());
        self.runtime
            .block_on(api.delete(name, &DeleteParams::default()))?;
        Ok(start)
    }

    /// A NetworkAttachmentDefinition of the bench's namespace.
    pub fn define(&self, name: &str, config: &Value) -> Result<()> {
        let kind = GroupVersionKind::gvk("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition");
        let resource = ApiResource::from_gvk_with_plural(&kind, "network-attachment-definitions");
        let api: kube::Api<DynamicObject> =
            kube::Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let object = serde_json::json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name}, "spec": {"config": config.to_string()},
        });
        let params = PatchParams::apply("bench").force();
        self.runtime
            .block_on(api.patch(name, &params, &Patch::Apply(&object)))?;
        Ok(())
    }

    /// Writes the networks annotation of the only pod with that label; when it was sent.
    pub fn annotate(&self, label: &str, networks: &str) -> Result<Instant> {
        let pod = self.running(&format!("app={label}"), 1)?.swap_remove(0);
        let name = pod.metadata.name.context("a pod has a name")?;
        let patch = serde_json::json!({
            "metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": networks}},
        });
        let (api, start) = (self.namespaced::<Pod>(), Instant::now());
        self.runtime
            .block_on(api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)))?;
        Ok(start)
    }

    pub fn deploy(&self, deployment: &Value) -> Result<()> {
        self.apply_to(self.namespaced::<Deployment>(), deployment)
    }

    /// Waits until so many pods with that label run.
    pub fn running(&self, label: &str, count: usize) -> Result<Vec<Pod>> {
        let (api, start) = (self.namespaced::<Pod>(), Instant::now());
        let params = ListParams::default().labels(label);
        while start.elapsed() < PATIENCE {
            let pods = self.runtime.block_on(api.list(&params))?.items;
            let running: Vec<Pod> = pods.into_iter().filter(is_running).collect();
            if running.len() == count {
                return Ok(running);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("waited {PATIENCE:?} for {count} pods with the label {label}")
    }

    /// The uid of a pod of podconfig itself on that node.
    pub fn uid_of_ours(&self, component: &str, node: &str) -> Result<String> {
        let api = kube::Api::<Pod>::namespaced(self.client.clone(), "podconfig-system");
        let params = ListParams::default()
            .labels(&format!("app.kubernetes.io/component={component}"))
            .fields(&format!("spec.nodeName={node}"));
        let pods = self.runtime.block_on(api.list(&params))?.items;
        let pod = pods
            .into_iter()
            .find(is_running)
            .context("podconfig's own pod is not there")?;
        pod.metadata.uid.context("a pod has a uid")
    }

    /// Of everything that changes from now on.
    pub fn watch(&self) -> Result<Watch> {
        let (api, (sender, receiver)) = (self.namespaced::<PodConfig>(), channel());
        let list = self.runtime.block_on(api.list(&ListParams::default()))?;
        let version = list.metadata.resource_version.unwrap_or_default();
        self.runtime.spawn(async move {
            if let Err(error) = tell(&api, &version, &sender).await {
                eprintln!("the bench's own watch ended: {error:#}");
            }
        });
        Ok(Watch(receiver))
    }

    fn namespaced<K>(&self) -> kube::Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        kube::Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn apply_to<K>(&self, api: kube::Api<K>, object: &Value) -> Result<()>
    where
        K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let name = object["metadata"]["name"]
            .as_str()
            .context("an object has a name")?;
        let params = PatchParams::apply("bench").force();
        self.runtime
            .block_on(api.patch(name, &params, &Patch::Apply(object)))?;
        Ok(())
    }
}

const POLICY: &str = "
apiVersion: podconfig.dev/v1alpha1
kind: PodConfigPolicy
metadata: {name: bench, annotations: {podconfig.dev/allow-deletion: 'true'}}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: bench}}
  allow:
  - veth: {bridges: Own}
    addresses: [10.0.0.0/8]
  - cni: {definitions: [{namespace: bench, names: [bridge, macvlan]}]}
";

async fn tell(api: &kube::Api<PodConfig>, version: &str, sender: &Sender<Told>) -> Result<()> {
    let params = WatchParams::default().timeout(290);
    let mut events = std::pin::pin!(api.watch(&params, version).await?);
    while let Some(event) = events.try_next().await? {
        let at = Instant::now();
        if let WatchEvent::Added(config) | WatchEvent::Modified(config) = event {
            let (name, is_ready) = (
                config.metadata.name.clone().unwrap_or_default(),
                is_ready(&config),
            );
            if sender.send(Told { at, name, is_ready }).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_ready(config: &PodConfig) -> bool {
    let status = config.status.as_ref();
    let conditions = status
        .map(|status| &status.conditions[..])
        .unwrap_or_default();
    conditions.iter().any(|one| {
        let is_current = one.observed_generation == config.metadata.generation;
        one.type_ == "Ready"
            && one.status == "True"
            && is_current
            && one.reason == "AllPodsConfigured"
    })
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

impl Watch {
    /// When it was first heard of, and when it was first told to be ready.
    pub fn of(&self, name: &str) -> Result<(Instant, Instant)> {
        let mut heard = None;
        loop {
            let told = self
                .0
                .recv_timeout(PATIENCE)
                .context("wait for a PodConfig to be ready")?;
            if told.name != name {
                continue;
            }
            let first = *heard.get_or_insert(told.at);
            if told.is_ready {
                return Ok((first, told.at));
            }
        }
    }
}
