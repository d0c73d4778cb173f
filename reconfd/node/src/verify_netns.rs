//! Verification of a namespace from an unverified source, before anything is changed in it: it is opened like
//! a recorded one, is not the node's own, and has one of the pod's addresses.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use ipnetwork::IpNetwork;
use sandbox_record::netns::{Identity, Netns, NetnsError};

use super::{Machine, ip_dump::read_addresses, netlink::Socket};

/// The verified namespace at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedNetns {
    pub identity: Identity,
    /// The pod's addresses that it has, with their prefix lengths.
    pub addresses: Vec<IpNetwork>,
}

/// Why a namespace is not taken for the pod's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("{0}")]
    Refused(String),
    #[error("has none of the pod's addresses")]
    NoPodAddress,
    /// A transient error; a retry may succeed.
    #[error("{0}")]
    Retry(String),
}

impl Machine {
    /// Verifies the namespace that is at the path now. Later users must compare the identity.
    pub fn verify_netns(
        &self,
        path: &Path,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<VerifiedNetns, VerifyError> {
        let netns = self.folders.open(path).map_err(not_opened)?;
        let found = self.own_addresses_of(&netns)?;
        let held = found.into_iter().filter(|a| addresses.contains(&a.ip()));
        let verified = VerifiedNetns {
            identity: netns.identity(),
            addresses: held.collect(),
        };
        match verified.addresses.is_empty() {
            true => Err(VerifyError::NoPodAddress),
            false => Ok(verified),
        }
    }

    /// The addresses in a namespace that are not podconfig's.
    fn own_addresses_of(&self, netns: &Netns) -> Result<Vec<IpNetwork>, VerifyError> {
        let later = |error: &dyn std::fmt::Display| VerifyError::Retry(error.to_string());
        let socket = netns.enter(|| Socket::open(&self.changes));
        let mut socket = socket.map_err(not_opened)?.map_err(|error| later(&error))?;
        let found = read_addresses(&mut socket).map_err(|error| later(&error))?;
        let foreign = found.into_iter().filter(|address| !address.ours);
        Ok(foreign.map(|address| address.network).collect())
    }

    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

fn not_opened(error: NetnsError) -> VerifyError {
    match error.kind.transient() {
        Some(_) => VerifyError::Retry(error.to_string()),
        None => VerifyError::Refused(error.to_string()),
    }
}
