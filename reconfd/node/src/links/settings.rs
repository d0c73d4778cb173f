//! Pure: the sysctls of a host end in the node's namespace, which are part of the link. `sysctl --system` and
//! udev write the node's own values to each new interface.

use super::HostEnd;

/// A sysctl of an interface: `ipv4` or `ipv6`, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    pub family: &'static str,
    pub name: &'static str,
}

impl Setting {
    /// The path below `/proc/sys/net`.
    pub fn path(self, interface: &str) -> String {
        format!("{}/conf/{interface}/{}", self.family, self.name)
    }
}

const fn ipv4(name: &'static str) -> Setting {
    Setting {
        family: "ipv4",
        name,
    }
}

const fn ipv6(name: &'static str) -> Setting {
    Setting {
        family: "ipv6",
        name,
    }
}

pub const DISABLE_IPV6: Setting = ipv6("disable_ipv6");

/// A pod must not set routes of the node, spoof addresses, or reach the node's loopback.
const STRICT: [(Setting, &str); 7] = [
    (ipv4("rp_filter"), "1"),
    (ipv4("accept_redirects"), "0"),
    (ipv4("accept_source_route"), "0"),
    (ipv4("route_localnet"), "0"),
    (ipv6("accept_ra"), "0"),
    (ipv6("autoconf"), "0"),
    (ipv6("accept_redirects"), "0"),
];
const ON_BRIDGE: [(Setting, &str); 8] = with(DISABLE_IPV6, "1");
const ROUTED: [(Setting, &str); 8] = with(DISABLE_IPV6, "0");

/// Last: IPv6 comes up with the other settings.
const fn with(setting: Setting, value: &'static str) -> [(Setting, &'static str); 8] {
    let [a, b, c, d, e, f, g] = STRICT;
    [a, b, c, d, e, f, g, (setting, value)]
}

/// The wanted sysctls of a host end; none in the switch, which has no IP. On a bridge of the node it has no
/// IPv6 itself; a routed one has the gateway's address, also if IPv6 is disabled by default on the node.
pub fn of(host_end: &HostEnd) -> &'static [(Setting, &'static str)] {
    match host_end {
        HostEnd::Routed => &ROUTED,
        HostEnd::HostBridge(_) => &ON_BRIDGE,
        HostEnd::Bridge { .. } | HostEnd::Segment(_) => &[],
    }
}

/// The sysctls of all host ends.
pub fn all() -> impl Iterator<Item = Setting> {
    ROUTED.iter().map(|(setting, _)| *setting)
}
