//! The door for manifests: what an apiserver would check of an object, checked without one. The
//! schema is read off the published CRD, so that the two cannot differ. Never touches a file.

mod fault;
mod metadata;
mod node;
mod rules;
#[cfg(test)]
mod tests;
mod walk;

use std::{fmt, sync::LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use self::{
    fault::{Faults, Path, shown},
    node::Node,
    rules::Judge,
};

/// One thing that is wrong with an object, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `spec.links[0].mtu`; empty for the whole object.
    pub field: String,
    /// `70000 is more than 65535`.
    pub message: String,
}

/// What objects of one kind look like, compiled once.
pub struct Schema {
    kind: String,
    api_version: String,
    namespaced: bool,
    /// The daemon writes the status: one that comes in a manifest is dropped, as an apiserver does.
    owns_status: bool,
    /// Absent for a kind of which only the metadata counts.
    root: Option<Node>,
    judge: Judge,
}

impl Schema {
    /// The schema of a CRD's only version; an error names what this code does not know how to check.
    pub fn of(crd: &CustomResourceDefinition) -> anyhow::Result<Self> {
        let version = crd
            .spec
            .versions
            .first()
            .ok_or_else(|| anyhow::anyhow!("the CRD has no version"))?;
        let schema = version
            .schema
            .as_ref()
            .and_then(|s| s.open_api_v3_schema.as_ref());
        let schema = schema.ok_or_else(|| anyhow::anyhow!("the CRD has no schema"))?;
        let status = version
            .subresources
            .as_ref()
            .and_then(|s| s.status.as_ref());
        Ok(Self {
            kind: crd.spec.names.kind.clone(),
            api_version: format!("{}/{}", crd.spec.group, version.name),
            namespaced: crd.spec.scope == "Namespaced",
            owns_status: status.is_some(),
            root: Some(Node::compile(schema, "")?),
            judge: Judge::new(),
        })
    }

    /// A kind of Kubernetes itself, of which only the metadata counts.
    fn metadata_only(kind: &str, namespaced: bool) -> Self {
        Self {
            kind: kind.to_owned(),
            api_version: "v1".to_owned(),
            namespaced,
            owns_status: false,
            root: None,
            judge: Judge::new(),
        }
    }

    /// The schema of a kind that a folder of manifests may hold; `None` for every other kind.
    pub fn for_kind(kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|schema| schema.kind == kind)
    }

    /// The object as it is to be used, its defaults filled in; or everything that is wrong with it.
    pub fn admit(&self, value: Value) -> Result<Value, Vec<Fault>> {
        self.admit_after(None, value)
    }

    /// The same for an object that replaces an admitted one: rules on the change count as well.
    pub fn admit_update(&self, old: &Value, new: Value) -> Result<Value, Vec<Fault>> {
        self.admit_after(Some(old), new)
    }

    fn admit_after(&self, old: Option<&Value>, mut value: Value) -> Result<Value, Vec<Fault>> {
        let mut faults = Faults::default();
        self.check_head(&mut value, &mut faults);
        if let (Some(root), Value::Object(_)) = (&self.root, &value) {
            root.fill(&mut value);
            root.check(&value, &Path::Root, &mut faults);
            if faults.is_empty() {
                self.judge
                    .judge(root, &value, old, &Path::Root, &mut faults);
            }
        }
        faults.into_result(value)
    }

    /// What every object has: version, kind, metadata.
    fn check_head(&self, value: &mut Value, faults: &mut Faults) {
        let Value::Object(object) = value else {
            return faults.add(&Path::Root, format!("{} is no object", shown(value)));
        };
        if self.owns_status {
            object.remove("status");
        }
        for (field, right) in [("apiVersion", &self.api_version), ("kind", &self.kind)] {
            match object.get(field) {
                Some(Value::String(given)) if given == right => {}
                Some(given) => faults.add(
                    &Path::Root.field(field),
                    format!("{} is not {right}", shown(given)),
                ),
                None => faults.add(
                    &Path::Root.field(field),
                    format!("is missing; write {right}"),
                ),
            }
        }
        metadata::check(object, self.namespaced, faults);
    }
}

/// Compiled at the first look, kept for good: five small trees.
static KINDS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let compiled = |crd| Schema::of(&crd).expect("a test compiles every CRD of this project");
    vec![
        compiled(crds::definition::pod_config()),
        compiled(crds::definition::pod_config_policy()),
        compiled(crds::definition::peer_slice()),
        Schema::metadata_only("Pod", true),
        Schema::metadata_only("Namespace", false),
    ]
});

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}
