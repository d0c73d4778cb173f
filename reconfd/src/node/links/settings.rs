//! Pure: the sysctls of a host end in the node's namespace, as part of what a link is. `sysctl --system`
//! and udev write the node's own choice to each interface after it was made.

use super::HostEnd;

/// A sysctl of an interface: `ipv4` or `ipv6`, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    pub family: &'static str,
    pub name: &'static str,
}

impl Setting {
    /// Where it is below `/proc/sys/net`.
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

/// A pod tells the node no routes, and sends neither as another nor to the node's loopback.
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

/// What a host end's sysctls must be; in the switch there is nothing that they would be for. On a bridge
/// of the node it speaks no IPv6 of its own; a routed one has the gateway's address, also where the
/// node's default is to have none.
pub fn of(host_end: &HostEnd) -> &'static [(Setting, &'static str)] {
    match host_end {
        HostEnd::Routed => &ROUTED,
        HostEnd::HostBridge(_) => &ON_BRIDGE,
        HostEnd::Bridge { .. } | HostEnd::Segment(_) => &[],
    }
}

/// All sysctls that are of any host end.
pub fn all() -> impl Iterator<Item = Setting> {
    ROUTED.iter().map(|(setting, _)| *setting)
}
