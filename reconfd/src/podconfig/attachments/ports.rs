//! Ports of the node that lead to pods: none on which a program of the node listens, and none that another attachment
//! has. The check is made right before ADD, and again with each try.

use std::{collections::HashMap, io, net::IpAddr, sync::Mutex};

use attachments::{
    entry::{Entry, Slot},
    status::{Failure, FailureReason},
};
use cni::FrozenChain;
use crds::Reason;

use super::{EngineRef, lock};

/// The kernel's tables of sockets.
mod sockets;

/// A port of the node. Without an address it is one of all addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub number: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    pub address: Option<IpAddr>,
}

impl HostPort {
    fn meets(&self, other: &Self) -> bool {
        let is_any = |address: Option<IpAddr>| address.is_none_or(|ip| ip.is_unspecified());
        let (a, b) = (self.address, other.address);
        (self.number, &self.protocol) == (other.number, &other.protocol)
            && (is_any(a) || is_any(b) || a == b)
    }
}

/// The ports that attachments have.
pub struct PortClaims {
    engine: EngineRef,
    /// Of attachments that are being made, which are not among the engine's entries yet.
    claimed: Mutex<HashMap<Slot, Vec<HostPort>>>,
}

impl PortClaims {
    pub fn new(engine: EngineRef) -> Self {
        Self {
            engine,
            claimed: Mutex::default(),
        }
    }

    /// Claims the ports of an attachment that is about to be made.
    pub fn claim(&self, entry: &Entry) -> Result<(), Failure> {
        let (slot, wanted) = (entry.slot(), mapped(&entry.chain));
        let mut claimed = lock(&self.claimed);
        claimed.remove(&slot);
        if wanted.is_empty() {
            return Ok(());
        }
        let engine = self.engine.get();
        claimed.retain(|slot, _| {
            engine
                .as_ref()
                .is_some_and(|engine| engine.is_attaching(slot))
        });
        // Read after that: what has ended in between is among them.
        let entries = engine.map(|engine| engine.entries()).unwrap_or_default();
        let stored = entries.iter().filter(|entry| entry.slot() != slot);
        let stored = stored.flat_map(|entry| mapped(&entry.chain));
        let others: Vec<_> = stored.chain(claimed.values().flatten().cloned()).collect();
        let listening = sockets::listening().map_err(|error| unread(&error))?;
        match objection(&wanted, &others, &listening) {
            Some(objection) => Err(refused(objection)),
            None => {
                claimed.insert(slot, wanted);
                Ok(())
            }
        }
    }
}

/// Why these ports may not be had.
fn objection(wanted: &[HostPort], others: &[HostPort], listening: &[HostPort]) -> Option<String> {
    for (index, port) in wanted.iter().enumerate() {
        let is_met = |ports: &[HostPort]| ports.iter().any(|other| port.meets(other));
        let why = if is_met(&wanted[..index]) {
            "is mapped twice"
        } else if is_met(others) {
            "leads to another pod or link already; choose another port"
        } else if is_met(listening) {
            "has a program of the node that listens on it; choose another port"
        } else {
            continue;
        };
        let HostPort {
            number, protocol, ..
        } = port;
        return Some(format!(
            "cni.portMappings hostPort {number}/{protocol} {why}"
        ));
    }
    None
}

/// The ports of the node that a chain maps, as a plugin reads them.
fn mapped(chain: &FrozenChain) -> Vec<HostPort> {
    let mappings = chain.runtime_config.get("portMappings");
    let mappings = mappings.and_then(|value| value.as_array());
    let ports = mappings.into_iter().flatten().filter_map(|mapping| {
        let text = |key: &str| mapping.get(key).and_then(|value| value.as_str());
        Some(HostPort {
            number: u16::try_from(mapping.get("hostPort")?.as_u64()?).ok()?,
            protocol: text("protocol").unwrap_or("tcp").to_owned(),
            address: text("hostIP").and_then(|ip| ip.parse().ok()),
        })
    });
    ports.collect()
}

fn refused(message: String) -> Failure {
    Failure::new(FailureReason::Judged(Reason::NotAllowed.as_str()), message)
}

fn unread(error: &io::Error) -> Failure {
    let message = format!("cannot read which ports of the node are in use: {error}");
    Failure::new(FailureReason::SandboxUnknown, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: u16, protocol: &str, address: Option<&str>) -> HostPort {
        HostPort {
            number,
            protocol: protocol.to_owned(),
            address: address.and_then(|ip| ip.parse().ok()),
        }
    }

    #[test]
    fn a_port_is_another_one_by_protocol_and_address() {
        let wanted = [port(30080, "tcp", Some("192.0.2.1"))];
        let free = [
            port(30080, "udp", None),
            port(30081, "tcp", None),
            port(30080, "tcp", Some("192.0.2.2")),
        ];
        assert_eq!(objection(&wanted, &free, &free), None);
        for taken in [None, Some("0.0.0.0"), Some("::"), Some("192.0.2.1")] {
            let taken = [port(30080, "tcp", taken)];
            let mapped = objection(&wanted, &taken, &[]).unwrap_or_default();
            assert!(mapped.contains("30080/tcp leads to another"), "{mapped}");
            let heard = objection(&wanted, &[], &taken).unwrap_or_default();
            assert!(heard.contains("listens on it"), "{heard}");
        }
        let twice = [wanted[0].clone(), port(30080, "tcp", None)];
        assert!(objection(&twice, &[], &[]).is_some());
    }
}
