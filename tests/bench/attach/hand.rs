//! A chain as a runtime executes it with libcni: one plugin after the other with the result before, and the result of
//! the whole in a file.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use cni::{CniResult, FrozenChain, NetworkConfig, PluginInput, Trust};

use super::{runner::PLUGINS, wanted::Kind};
use crate::{
    cost::{Cost, Whose, micros},
    node::{self, Pod},
    wish::LINK,
};

const CACHE: &str = "/var/lib/cni/results";

pub struct Hand {
    chain: FrozenChain,
}

impl Hand {
    pub fn new(pod: &Pod, kind: Kind) -> Result<Self> {
        let text = kind.configuration("hand");
        let network = NetworkConfig::parse(&text, "hand", Trust::Trusted)?;
        let input = cni::AttachmentInput {
            container_id: format!("{:064x}", pod.identity.inode),
            ifname: LINK.to_owned(),
            netns: node::namespace_path(&pod.name).display().to_string(),
            args: vec![
                ("IgnoreUnknown".into(), "true".into()),
                ("K8S_POD_NAMESPACE".into(), node::NAMESPACE.into()),
                ("K8S_POD_NAME".into(), pod.name.clone()),
            ],
            runtime_config: kind.runtime_config(pod),
            cni_args: serde_json::Map::new(),
        };
        fs::create_dir_all(CACHE)?;
        Ok(Self {
            chain: network.freeze(input)?,
        })
    }

    /// ADD of the whole chain; its result.
    pub fn add(&self) -> Result<CniResult> {
        let mut last = None;
        for index in 0..self.chain.plugins.len() {
            let printed = self.execute(index, cni::Command::Add, last.as_ref())?;
            last = Some(CniResult::parse(&printed, self.chain.cni_version)?);
        }
        let result = last.context("a chain has a plugin")?;
        let rendered = result.clone().render(self.chain.cni_version);
        let text =
            serde_json::json!({"kind": "cniCacheV1", "config": self.chain, "result": rendered});
        fs::write(self.cache(), text.to_string())?;
        Ok(result)
    }

    /// CHECK of the whole chain. Some plugins fail it right after a good ADD.
    pub fn check(&self, result: &CniResult) -> Result<()> {
        for index in 0..self.chain.plugins.len() {
            let _ = self.execute(index, cni::Command::Check, Some(result));
        }
        Ok(())
    }

    pub fn del(&self, result: &CniResult) -> Result<()> {
        for index in (0..self.chain.plugins.len()).rev() {
            self.execute(index, cni::Command::Del, Some(result))?;
        }
        Ok(fs::remove_file(self.cache())?)
    }

    fn cache(&self) -> PathBuf {
        let FrozenChain {
            network,
            container_id,
            ifname,
            ..
        } = &self.chain;
        format!("{CACHE}/{network}-{container_id}-{ifname}").into()
    }

    fn execute(
        &self,
        index: usize,
        command: cni::Command,
        last: Option<&CniResult>,
    ) -> Result<Vec<u8>> {
        let input = PluginInput {
            prev_result: last,
            has_netns: true,
            cni_path: PLUGINS,
            valid_attachments: &[],
        };
        let request = self.chain.request(index, command, input)?;
        let plugin_type = &self.chain.plugins[index].plugin_type;
        let mut child = Command::new(format!("{PLUGINS}/{plugin_type}"))
            .env_clear()
            .envs(request.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{plugin_type} is needed (containernetworking-plugins)"))?;
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        stdin.write_all(&request.stdin)?;
        drop(stdin);
        let output = child.wait_with_output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{command} of {plugin_type}: {printed}"
        );
        Ok(output.stdout)
    }
}

/// What something costs this thread and the children of this process together.
pub fn cost<T>(work: impl FnOnce() -> Result<T>) -> Result<(Cost, T)> {
    let cpu = || Ok::<_, anyhow::Error>(Whose::Thread.cpu()? + Whose::Children.cpu()?);
    let (before, start) = (cpu()?, Instant::now());
    let value = work()?;
    let wall = micros(start.elapsed());
    Ok((
        Cost {
            cpu: cpu()? - before,
            wall,
        },
        value,
    ))
}
