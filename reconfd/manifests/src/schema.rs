//! Validation of manifests: the checks of an API server, without one. The schema is taken from the published
//! CRD, so that the two cannot differ. No file access.

mod cel_rule;
mod cel_rules;
mod field_error;
mod metadata;
mod schema_node;
#[cfg(test)]
mod tests;
mod walk;

use std::{fmt, sync::LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use store::kinds::ObjectKind;

use self::{
    cel_rules::CelRules,
    field_error::{FieldErrors, FieldPath, shown},
    schema_node::SchemaNode,
};

/// An invalid field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// `spec.links[0].mtu`; empty for the whole object.
    pub field: String,
    /// `70000 is more than 65535`.
    pub message: String,
}

/// The compiled schema of one kind.
pub struct Schema {
    kind: String,
    api_version: String,
    namespaced: bool,
    /// The kind has a status subresource: a status in a manifest is dropped, as an API server does.
    owns_status: bool,
    /// `None` for a kind of which only the metadata is checked.
    root: Option<SchemaNode>,
    cel: CelRules,
}

impl Schema {
    /// Compiles the schema of a CRD's only version; an error names what this code cannot check.
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
            root: Some(SchemaNode::compile(schema, "")?),
            cel: CelRules::new(),
        })
    }

    /// A kind of another project, of which only the metadata is checked.
    fn metadata_only(kind: ObjectKind) -> Self {
        let row = kind.row();
        Self {
            kind: kind.as_str().to_owned(),
            api_version: row.api_version.to_owned(),
            namespaced: row.has_namespace,
            owns_status: false,
            root: None,
            cel: CelRules::new(),
        }
    }

    /// The schema of a kind that a manifest folder may hold; `None` for every other kind.
    pub fn for_kind(kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|schema| schema.kind == kind)
    }

    /// Returns the object with its defaults filled in, or all of its errors.
    pub fn admit(&self, mut value: Value) -> Result<Value, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        self.check_head(&mut value, &mut errors);
        if let (Some(root), Value::Object(_)) = (&self.root, &value) {
            root.fill(&mut value);
            root.check(&value, &FieldPath::Root, &mut errors);
            if errors.is_empty() {
                self.cel.check(root, &value, &FieldPath::Root, &mut errors);
            }
        }
        errors.into_result(value)
    }

    /// Checks version, kind and metadata.
    fn check_head(&self, value: &mut Value, errors: &mut FieldErrors) {
        let Value::Object(object) = value else {
            return errors.add(
                &FieldPath::Root,
                format!("{} is not an object", shown(value)),
            );
        };
        if self.owns_status {
            object.remove("status");
        }
        for (field, right) in [("apiVersion", &self.api_version), ("kind", &self.kind)] {
            match object.get(field) {
                Some(Value::String(given)) if given == right => {}
                Some(given) => errors.add(
                    &FieldPath::Root.field(field),
                    format!("{} is not {right}", shown(given)),
                ),
                None => errors.add(
                    &FieldPath::Root.field(field),
                    format!("is missing; write {right}"),
                ),
            }
        }
        metadata::check(object, self.namespaced, errors);
    }
}

/// Compiled at the first use and never dropped: five small trees.
static KINDS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let definitions = crds::definition::all();
    let compiled = |kind: ObjectKind| {
        let is_it = |crd: &&CustomResourceDefinition| crd.spec.names.kind == kind.as_str();
        let mut all = definitions.iter().map(|(_, crd)| crd);
        match all.find(is_it) {
            Some(crd) => Schema::of(crd).expect("a test compiles every CRD of this project"),
            None => Schema::metadata_only(kind),
        }
    };
    ObjectKind::manifests().map(compiled).collect()
});

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}
