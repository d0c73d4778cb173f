//! Default routes that an element of the annotation asks for. As Multus does at pod start, one through the link takes the
//! place of the pod's others of its family; these are noted before ADD, and come back before DEL.

use std::{net::IpAddr, os::fd::OwnedFd};

use attachments::{
    entry::Entry,
    status::{Failure, FailureReason},
};
use crds::Reason;
use node::attached::{AttachedLinks, DefaultRoute};

use super::{Before, kernel, open};

/// The default routes that those of an entry will replace.
pub fn noted(pod: &mut AttachedLinks, entry: &Entry) -> Result<Vec<Vec<u8>>, Failure> {
    if entry.gateways.is_empty() {
        return Ok(Vec::new());
    }
    let routes = pod.default_routes().map_err(kernel)?;
    let replaced = routes.iter().filter(|route| is_of_family(entry, route));
    let replaced: Vec<&DefaultRoute> = replaced.collect();
    match replaced.iter().any(|route| route.is_ours()) {
        true => Err(Failure::new(
            FailureReason::Judged(Reason::Invalid.as_str()),
            "another link of the pod has a default route of podconfig's; only one can have it",
        )),
        false => Ok(replaced.iter().map(|route| route.to_bytes()).collect()),
    }
}

/// Deletes what was noted, and sets what is asked for.
pub fn set(entry: &Entry, netns: &OwnedFd) -> Result<(), Failure> {
    let mut pod = open(netns)?;
    let index = index(entry)?;
    let present = pod.default_routes().map_err(kernel)?;
    let noted = stored(entry);
    for gateway in &entry.gateways {
        if present.iter().any(|route| route.is(index, *gateway)) {
            continue;
        }
        let is_in_the_way = |route: &&DefaultRoute| {
            let is_of_link = route.index() == Some(index);
            route.is_ipv6() == gateway.is_ipv6() && (is_of_link || noted.contains(route))
        };
        for route in present.iter().filter(is_in_the_way) {
            pod.delete_default_route(route).map_err(refused)?;
        }
        pod.add_default_route(index, *gateway)
            .map_err(|error| refused(format!("default-route {gateway}: {error}")))?;
    }
    Ok(())
}

/// What is missing of them.
pub fn check(entry: &Entry, netns: &OwnedFd) -> Option<Failure> {
    let index = entry.facts.ifindex?;
    let present = open(netns).ok()?.default_routes().ok()?;
    let is_missing = |gateway: &&IpAddr| !present.iter().any(|route| route.is(index, **gateway));
    let gateway = entry.gateways.iter().find(is_missing)?;
    let what = format!("default-route {gateway}: the pod has no such default route any more");
    Some(Failure::new(FailureReason::Drifted, what))
}

/// Deletes them, and restores what they replaced where the pod has no other default route since then.
pub fn restore(pod: &mut AttachedLinks, entry: &Entry) -> Result<(), Failure> {
    let Some(index) = entry.facts.ifindex.filter(|_| !entry.gateways.is_empty()) else {
        return Ok(());
    };
    let present = pod.default_routes().map_err(kernel)?;
    let (of_link, others): (Vec<_>, Vec<_>) = present
        .into_iter()
        .partition(|route| route.index() == Some(index));
    for route in of_link.iter().filter(|route| route.is_ours()) {
        pod.delete_default_route(route).map_err(refused)?;
    }
    let has_other = |route: &DefaultRoute| {
        let mut others = others.iter();
        others.any(|other| other.is_ipv6() == route.is_ipv6())
    };
    for route in stored(entry).iter().filter(|route| !has_other(route)) {
        // The link that it led through may be gone, or its address: then the pod has changed it.
        if let Err(error) = pod.restore_default_route(route) {
            tracing::warn!(pod = %entry.pod, ifname = entry.chain.ifname, "left a default route out: {error}");
        }
    }
    Ok(())
}

fn stored(entry: &Entry) -> Vec<DefaultRoute> {
    let noted = Before::of(entry).routes.into_iter();
    noted
        .filter_map(|bytes| DefaultRoute::of_bytes(&bytes))
        .collect()
}

fn is_of_family(entry: &Entry, route: &DefaultRoute) -> bool {
    let mut gateways = entry.gateways.iter();
    gateways.any(|gateway| gateway.is_ipv6() == route.is_ipv6())
}

fn index(entry: &Entry) -> Result<u32, Failure> {
    let unknown = || Failure::new(FailureReason::SandboxUnknown, "the link is not known");
    entry.facts.ifindex.ok_or_else(unknown)
}

fn refused(what: impl ToString) -> Failure {
    let reason = FailureReason::Judged(Reason::KernelRefused.as_str());
    Failure::new(reason, what.to_string())
}
