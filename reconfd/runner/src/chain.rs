//! Pure: the order in which the plugins of a chain are executed, and what each gets. The executions themselves are the
//! caller's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cni::{
    CniResult, Command, FrozenChain, PluginInput, PluginRequest, Version, request::ValidAttachment,
};
use serde_json::Value;

use crate::protocol::{Executed, Fault, Operation, Step};

/// Executes one plugin of the chain: the request, the type; what it printed, or why it failed.
pub type Execute<'a> = dyn FnMut(&PluginRequest, &str) -> Execution + 'a;

/// Plugins that change the pod's network namespace alone: without it there is nothing to delete, and their DEL fails.
const INSIDE_ALONE: [&str; 1] = ["sbr"];

/// One execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub took: Duration,
    pub printed: Result<Vec<u8>, Fault>,
}

/// The versions that plugins support, by type.
pub type KnownVersions = BTreeMap<String, Vec<Version>>;

/// A chain during its execution.
pub struct Chain<'a> {
    pub chain: &'a FrozenChain,
    pub cni_path: &'a str,
    pub has_netns: bool,
    /// Answers to VERSION of these very binaries, which are not asked again.
    pub known: &'a KnownVersions,
}

/// What a preflight comes to without executing anything, if nothing is left to ask.
pub fn known_preflight(chain: &FrozenChain, known: &KnownVersions) -> Option<Executed> {
    let is_known = |plugin: &cni::FrozenPlugin| known.contains_key(&plugin.plugin_type);
    let is_settled = !chain.cni_version.has_status() && chain.plugins.iter().all(is_known);
    is_settled.then(|| {
        let chain = Chain {
            chain,
            cni_path: "",
            has_netns: false,
            known,
        };
        let mut refuse = |_: &PluginRequest, _: &str| Execution {
            took: Duration::ZERO,
            printed: Err(Fault::NotRun("its versions are known".to_owned())),
        };
        chain.status(&mut refuse)
    })
}

impl Chain<'_> {
    pub fn run(&self, operation: &Operation, execute: &mut Execute<'_>) -> Executed {
        match operation {
            Operation::Preflight => self.status(execute),
            Operation::Add => self.add(execute),
            Operation::Del {
                prev_result,
                which,
                all,
            } => self.del(prev_result.as_ref(), which.as_ref(), *all, execute),
            Operation::Check { prev_result, which } => {
                self.check(prev_result, which.as_ref(), execute)
            }
            Operation::Gc { valid } => self.gc(valid, execute),
        }
    }

    /// All binaries, then STATUS where the version has it.
    fn status(&self, execute: &mut Execute<'_>) -> Executed {
        let mut executed = Executed::default();
        for index in self.all() {
            self.version(index, execute, &mut executed);
        }
        if executed.first_fault().is_none() && self.chain.cni_version.has_status() {
            let status = |index| self.step((index, Command::Status), None, &[], execute).0;
            executed.steps.extend(self.all().map(status));
        }
        executed
    }

    /// Whether the plugin supports the version of the configuration. One that is known to support it has no step.
    fn version(&self, index: usize, execute: &mut Execute<'_>, executed: &mut Executed) {
        let plugin_type = &self.chain.plugins[index].plugin_type;
        let asked = executed.versions.get(plugin_type);
        if let Some(versions) = self.known.get(plugin_type).or(asked) {
            if let Err(fault) = self.is_supported(versions) {
                let step = self.report((index, Command::Version), Duration::ZERO, Some(fault));
                executed.steps.push(step);
            }
            return;
        }
        let request = cni::request::version_request(self.cni_path);
        let execution = execute(&request, plugin_type);
        let fault = execution.printed.and_then(|printed| {
            let versions = Version::supported_by(&printed)
                .map_err(|error| Fault::Result(error.to_string()))?;
            let supported = self.is_supported(&versions);
            executed.versions.insert(plugin_type.clone(), versions);
            supported
        });
        let step = self.report((index, Command::Version), execution.took, fault.err());
        executed.steps.push(step);
    }

    fn is_supported(&self, versions: &[Version]) -> Result<(), Fault> {
        let wanted = self.chain.cni_version;
        match versions.contains(&wanted) {
            true => Ok(()),
            false => Err(Fault::Result(format!(
                "it does not support version {wanted}"
            ))),
        }
    }

    fn add(&self, execute: &mut Execute<'_>) -> Executed {
        let (mut executed, mut last) = (Executed::default(), None);
        for index in self.all() {
            let (mut step, printed) = self.step((index, Command::Add), last.as_ref(), &[], execute);
            let printed = printed.map(|printed| CniResult::parse(&printed, self.chain.cni_version));
            match printed {
                Some(Ok(result)) => last = Some(result),
                Some(Err(error)) => step.fault = Some(Fault::Result(error.to_string())),
                None => {}
            }
            executed.steps.push(step);
            if executed.first_fault().is_some() {
                executed.partial = last.map(|result| result.render(self.chain.cni_version));
                return executed;
            }
        }
        executed.result = last.map(|result| result.render(self.chain.cni_version));
        executed
    }

    fn del(
        &self,
        result: Option<&Value>,
        which: Option<&BTreeSet<usize>>,
        all: bool,
        execute: &mut Execute<'_>,
    ) -> Executed {
        let (mut executed, result) = (Executed::default(), parsed(result));
        for index in self.all().rev().filter(|index| is_among(*index, which)) {
            let step = self.del_one(index, result.as_ref(), execute);
            let failed = step.fault.is_some();
            executed.steps.push(step);
            if failed && !all {
                break;
            }
        }
        executed
    }

    /// Without the namespace a plugin may leave its address reserved, as host-device does: DEL of its IPAM, which may be
    /// repeated, is executed as well.
    fn del_one(&self, index: usize, result: Option<&CniResult>, execute: &mut Execute<'_>) -> Step {
        let plugin = &self.chain.plugins[index];
        if !self.has_netns && INSIDE_ALONE.contains(&plugin.plugin_type.as_str()) {
            return self.report((index, Command::Del), Duration::ZERO, None);
        }
        let (mut step, _) = self.step((index, Command::Del), result, &[], execute);
        if let (Some(ipam), None, false) = (&plugin.ipam_type, &step.fault, self.has_netns) {
            let input = self.input(result, &[]);
            if let Ok(request) = self.chain.request(index, Command::Del, input) {
                step.fault = execute(&request, ipam).printed.err();
            }
        }
        step
    }

    fn check(
        &self,
        result: &Value,
        which: Option<&BTreeSet<usize>>,
        execute: &mut Execute<'_>,
    ) -> Executed {
        let (mut executed, result) = (Executed::default(), parsed(Some(result)));
        for index in self.all().filter(|index| is_among(*index, which)) {
            let (step, _) = self.step((index, Command::Check), result.as_ref(), &[], execute);
            executed.steps.push(step);
        }
        executed
    }

    fn gc(&self, valid: &[ValidAttachment], execute: &mut Execute<'_>) -> Executed {
        let mut executed = Executed::default();
        for index in self.all() {
            let (step, _) = self.step((index, Command::Gc), None, valid, execute);
            executed.steps.push(step);
        }
        executed
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.chain.plugins.len()
    }

    /// Executes one plugin. Returns what it printed if it succeeded.
    fn step(
        &self,
        (index, command): (usize, Command),
        prev_result: Option<&CniResult>,
        valid_attachments: &[ValidAttachment],
        execute: &mut Execute<'_>,
    ) -> (Step, Option<Vec<u8>>) {
        let input = self.input(prev_result, valid_attachments);
        let execution = match self.chain.request(index, command, input) {
            Ok(request) => execute(&request, &self.chain.plugins[index].plugin_type),
            Err(error) => Execution {
                took: Duration::ZERO,
                printed: Err(Fault::NotRun(error.to_string())),
            },
        };
        let (printed, fault) = match execution.printed {
            Ok(printed) => (Some(printed), None),
            Err(fault) => (None, Some(fault)),
        };
        (
            self.report((index, command), execution.took, fault),
            printed,
        )
    }

    fn input<'a>(
        &'a self,
        prev_result: Option<&'a CniResult>,
        valid_attachments: &'a [ValidAttachment],
    ) -> PluginInput<'a> {
        PluginInput {
            prev_result,
            has_netns: self.has_netns,
            cni_path: self.cni_path,
            valid_attachments,
        }
    }

    fn report(
        &self,
        (index, command): (usize, Command),
        took: Duration,
        fault: Option<Fault>,
    ) -> Step {
        Step {
            index,
            plugin_type: self.chain.plugins[index].plugin_type.clone(),
            command,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            fault,
        }
    }
}

/// A result that was rendered before; one that cannot be read is left out, and DEL works without it.
fn parsed(result: Option<&Value>) -> Option<CniResult> {
    result.and_then(|result| CniResult::from_value(result.clone()).ok())
}

fn is_among(index: usize, which: Option<&BTreeSet<usize>>) -> bool {
    which.is_none_or(|which| which.contains(&index))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
