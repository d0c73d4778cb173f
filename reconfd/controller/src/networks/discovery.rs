//! API discovery: which source kinds are served, and in which version. One response contains all kinds, and an
//! unchanged one is answered with 304 by its ETag, so polling every few seconds is cheap; it needs no RBAC rule. A
//! watch of CustomResourceDefinitions would miss kinds of aggregated API servers.

use http_body_util::BodyExt as _;
use hyper::{
    Request, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH},
};
use kube::{
    Client,
    client::Body,
    core::{
        ApiResource,
        discovery::v2::{APIGroupDiscovery, APIGroupDiscoveryList, APIVersionDiscovery},
        gvk::GroupVersionKind,
    },
};
use kubeio::{
    api_writer::{REQUEST_TIMEOUT, within},
    client::error_text,
};

use address::sources::{ALL, SourceKind};

const ALL_KINDS: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Whether a kind is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindStatus {
    Served(ApiResource),
    Absent,
    /// The aggregated API server of the group is unavailable.
    Unavailable,
}

/// Discovery client with the ETag of the last response.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// ETag of the last response.
    tag: Option<HeaderValue>,
}

impl Discovery {
    /// Fetches the status of each source's kind, in the order of `ALL`; `None`: unchanged.
    pub async fn fetch(&mut self, client: &Client) -> Result<Option<Vec<KindStatus>>, String> {
        let response = within(REQUEST_TIMEOUT, self.request(client)).await;
        let Some((tag, body)) = response.map_err(|error| error.to_string())?? else {
            return Ok(None);
        };
        let list: APIGroupDiscoveryList = serde_json::from_slice(&body)
            .map_err(|error| format!("cannot parse the discovery response: {error}"))?;
        if list.items.is_empty() {
            return Err("the discovery response is empty".to_owned());
        }
        self.tag = tag;
        Ok(Some(
            ALL.iter()
                .map(|source_kind| find(source_kind, &list))
                .collect(),
        ))
    }

    async fn request(
        &self,
        client: &Client,
    ) -> Result<Option<(Option<HeaderValue>, Bytes)>, String> {
        let mut request = Request::get("/apis").header(ACCEPT, ALL_KINDS);
        if let Some(tag) = &self.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Body::empty()).map_err(|e| e.to_string())?;
        let response = client
            .send(request)
            .await
            .map_err(|error| error_text(&error))?;
        match response.status() {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => read_body(response).await.map(Some),
            other => Err(other.to_string()),
        }
    }
}

async fn read_body(response: Response<Body>) -> Result<(Option<HeaderValue>, Bytes), String> {
    let tag = response.headers().get(ETAG).cloned();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| format!("cannot read the discovery response: {error}"))?;
    Ok((tag, body.to_bytes()))
}

/// Finds the kind in the first version that serves it. The server lists its preferred version first.
fn find(source_kind: &SourceKind, list: &APIGroupDiscoveryList) -> KindStatus {
    if source_kind.group.is_empty() {
        return KindStatus::Served(resource(source_kind, "v1", source_kind.plural));
    }
    let is_it = |group: &&APIGroupDiscovery| {
        let name = group
            .metadata
            .as_ref()
            .and_then(|meta| meta.name.as_deref());
        name == Some(source_kind.group)
    };
    let Some(group) = list.items.iter().find(is_it) else {
        return KindStatus::Absent;
    };
    let mut served = group
        .versions
        .iter()
        .filter_map(|version| in_version(source_kind, version));
    let is_stale = |version: &APIVersionDiscovery| version.freshness.as_deref() == Some("Stale");
    match served.next() {
        Some(resource) => KindStatus::Served(resource),
        None if group.versions.iter().any(is_stale) => KindStatus::Unavailable,
        None => KindStatus::Absent,
    }
}

fn in_version(source_kind: &SourceKind, version: &APIVersionDiscovery) -> Option<ApiResource> {
    let mut resources = version.resources.iter();
    let found = resources.find(|resource| {
        let kind = resource.response_kind.as_ref();
        kind.and_then(|kind| kind.kind.as_deref()) == Some(source_kind.kind)
            && resource.verbs.iter().any(|verb| verb == "list")
    })?;
    let plural = found.resource.as_deref()?;
    Some(resource(source_kind, version.version.as_deref()?, plural))
}

fn resource(source_kind: &SourceKind, version: &str, plural: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk(source_kind.group, version, source_kind.kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(name: &str, versions: serde_json::Value) -> serde_json::Value {
        json!({"metadata": {"name": name}, "versions": versions})
    }

    fn version(name: &str, kinds: &[&str]) -> serde_json::Value {
        let kinds = kinds.iter().map(|kind| {
            let plural = format!("{}s", kind.to_lowercase());
            json!({"resource": plural, "responseKind": {"kind": kind}, "verbs": ["get", "list", "watch"]})
        });
        json!({"version": name, "resources": kinds.collect::<Vec<_>>()})
    }

    fn kind(kind: &str, groups: &serde_json::Value) -> Option<KindStatus> {
        let list = serde_json::from_value(json!({"items": groups})).ok()?;
        let source_kind = ALL
            .iter()
            .find(|source_kind| source_kind.kind_and_group() == kind)?;
        Some(find(source_kind, &list))
    }

    #[test]
    fn a_kind_is_asked_for_in_the_version_that_the_server_prefers() {
        let versions = json!([
            version("v2", &["CiliumNode"]),
            version("v2alpha1", &["CiliumNode", "CiliumPodIPPool"])
        ]);
        let groups = json!([group("cilium.io", versions)]);
        let served = |name: &str| match kind(name, &groups) {
            Some(KindStatus::Served(resource)) => {
                format!("{}/{}", resource.api_version, resource.plural)
            }
            other => format!("{other:?}"),
        };
        assert_eq!(served("CiliumNode.cilium.io"), "cilium.io/v2/ciliumnodes");
        assert_eq!(
            served("CiliumPodIPPool.cilium.io"),
            "cilium.io/v2alpha1/ciliumpodippools"
        );
        assert_eq!(served("CiliumLoadBalancerIPPool.cilium.io"), "Some(Absent)");
        assert_eq!(served("IPAddressPool.metallb.io"), "Some(Absent)");
        assert_eq!(served("Node"), "v1/nodes");
    }

    #[test]
    fn a_group_whose_server_does_not_answer_is_not_absent() {
        let groups = json!([group(
            "projectcalico.org",
            json!([{"version": "v3", "freshness": "Stale"}])
        )]);
        assert_eq!(
            kind("IPPool.projectcalico.org", &groups),
            Some(KindStatus::Unavailable)
        );
    }
}
