//! One CEL rule of a CRD, compiled.

use anyhow::anyhow;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use kube::core::cel::cel::Program;

pub struct CelRule {
    pub(super) program: Program,
    pub(super) text: String,
    pub(super) message: String,
    /// `.table`: the field that the message is about; empty for the whole value.
    pub(super) field: String,
}

impl CelRule {
    /// Without transition rules (`oldSelf`): a manifest has no earlier version that it is compared with.
    pub fn compile_all(rules: &[ValidationRule]) -> anyhow::Result<Vec<Self>> {
        rules
            .iter()
            .filter_map(|rule| Self::compile(rule).transpose())
            .collect()
    }

    fn compile(rule: &ValidationRule) -> anyhow::Result<Option<Self>> {
        let program =
            Program::compile(&rule.rule).map_err(|e| anyhow!("rule {:?}: {e}", rule.rule))?;
        if rule.message_expression.is_some() || rule.optional_old_self.is_some() {
            return Err(anyhow!(
                "rule {:?}: only a fixed message and a plain oldSelf are supported",
                rule.rule
            ));
        }
        if program.references().has_variable("oldSelf") {
            return Ok(None);
        }
        Ok(Some(Self {
            program,
            text: rule.rule.clone(),
            message: rule
                .message
                .clone()
                .unwrap_or_else(|| format!("violates the rule {}", rule.rule)),
            field: rule.field_path.clone().unwrap_or_default(),
        }))
    }
}
