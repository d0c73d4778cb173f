//! `make bench-cluster`: what podconfig costs on a real cluster, where `.ci/e2e` has put it. Times are taken
//! beside the API server's own, in the same run.

mod api;
/// Links of CNI plugins.
mod attach;
mod baseline;
/// Addresses given out.
mod claims;
/// The daemon of a node of the cluster, seen from outside.
mod daemon;
mod links;
mod many;
mod one;
mod pods;
mod spans;
mod writes;

use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use self::api::Api;
use crate::{node, table::Table};

/// The first word of those who want this.
pub const CLUSTER: &str = "cluster";
/// Where all of it happens.
const NODE: &str = "n0";

pub fn run(parts: &[String], table: &mut Table) -> Result<()> {
    enter()?;
    let api = Api::new()?;
    api.prepare()?;
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| word == part);
    // It needs a runner, which the installation of the others has not: by its name alone.
    let ran = if parts == ["attach"] {
        attach::run(&api, table)
    } else {
        measured(&api, wanted, table)
    };
    api.clear()?;
    ran
}

fn measured(api: &Api, wanted: impl Fn(&str) -> bool, table: &mut Table) -> Result<()> {
    if wanted("one") {
        one::run(api, table)?;
    }
    if wanted("many") {
        many::run(api, table)?;
    }
    if wanted("claims") {
        claims::run(table)?;
    }
    Ok(())
}

/// A `/run` of its own, for names of namespaces; before any thread is started.
fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace: the bench needs root")?;
    let nothing = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(nothing, "/", nothing, private, nothing)?;
    let mode = Some("mode=755");
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), mode)?;
    Ok(std::fs::create_dir_all(node::NAMESPACES)?)
}
