//! The names of tables, chains and sets. The names of sets encode their tunnel, so that a restarted daemon
//! restores its state from them. Pure.

use super::{Tunnel, source::Family};

pub fn table(installation: &str) -> String {
    format!("podconfig-{installation}")
}

/// The chain of the frames to a UDP port.
pub fn port_chain(port: u16) -> String {
    format!("port-{port}")
}

/// The chain of the frames to a tunnel.
pub fn tunnel_chain(Tunnel { vni, port }: Tunnel) -> String {
    format!("vni{vni}.port{port}")
}

/// The set of a tunnel's peers: `vni10042.port4789.if5.v4`.
pub fn peer_set(tunnel: Tunnel, underlay: u32, family: Family) -> String {
    let tunnel = tunnel_chain(tunnel);
    match family {
        Family::V4 => format!("{tunnel}.if{underlay}.v4"),
        Family::V6 => format!("{tunnel}.if{underlay}.v6"),
    }
}

pub fn read_peer_set(name: &str) -> Option<(Tunnel, u32, Family)> {
    let mut words = name.split('.');
    let mut next = |prefix: &str| words.next()?.strip_prefix(prefix);
    let tunnel = Tunnel {
        vni: next("vni")?.parse().ok()?,
        port: next("port")?.parse().ok()?,
    };
    let underlay = next("if")?.parse().ok()?;
    let family = match next("v")? {
        "4" => Family::V4,
        "6" => Family::V6,
        _ => return None,
    };
    // Another spelling (`vni007`) is not ours.
    (peer_set(tunnel, underlay, family) == name).then_some((tunnel, underlay, family))
}

/// The set of the links by which a closed port is reached: `port4789.links`.
pub fn link_set(port: u16) -> String {
    format!("port{port}.links")
}

pub fn read_link_set(name: &str) -> Option<u16> {
    let port = name.strip_prefix("port")?.strip_suffix(".links")?;
    let port = port.parse().ok()?;
    (link_set(port) == name).then_some(port)
}
