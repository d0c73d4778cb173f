//! The keys of known plugins: those of containernetworking/plugins, whereabouts, sriov and ovs.

use super::shape::Shape;

/// What a plugin is to the one that executes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A member of a chain.
    Interface,
    /// Executed by one for addresses, by `ipam.type`.
    Ipam,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    /// Any value of this form, and others that a rule lists.
    Harmless(Shape),
    /// It names something of the node, or reaches beyond the pod: only what a rule lists.
    Listed,
    /// A file, a socket, or words in a rule of the node's firewall.
    Never,
}

#[derive(Debug)]
pub(super) struct KnownType {
    pub name: &'static str,
    pub role: Role,
    /// Keys without which the plugin decides by the state of the node.
    pub required: &'static [&'static str],
    pub keys: &'static [(&'static str, Key)],
}

use Key::{Harmless, Listed, Never};

const MTU: Key = Harmless(Shape::Int(0, 65_535));
const BITS: Key = Harmless(Shape::Int(0, i64::MAX as u64));
const TOGGLE: Key = Harmless(Shape::Bool);
/// Of each plugin in a chain.
const COMMON: [(&str, Key); 2] = [
    ("capabilities", Harmless(Shape::Capabilities)),
    ("dns", Harmless(Shape::Dns)),
];

impl KnownType {
    pub(super) fn key(&self, key: &str) -> Option<Key> {
        let common = COMMON.iter().filter(|_| self.role == Role::Interface);
        let found = self
            .keys
            .iter()
            .chain(common)
            .find(|(name, _)| *name == key);
        found.map(|(_, kind)| *kind)
    }
}

pub(super) fn find(plugin_type: &str, role: Role) -> Option<&'static KnownType> {
    KNOWN
        .iter()
        .find(|known| known.name == plugin_type && known.role == role)
}

#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    let keys = KNOWN.iter().flat_map(|known| known.keys);
    keys.map(|(key, _)| *key)
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}

const fn interface(
    name: &'static str,
    required: &'static [&'static str],
    keys: &'static [(&'static str, Key)],
) -> KnownType {
    KnownType {
        name,
        role: Role::Interface,
        required,
        keys,
    }
}

const fn ipam(name: &'static str, keys: &'static [(&'static str, Key)]) -> KnownType {
    KnownType {
        name,
        role: Role::Ipam,
        required: &[],
        keys,
    }
}

const KNOWN: &[KnownType] = &[
    // Without `bridge` it is cni0.
    interface(
        "bridge",
        &["bridge"],
        &[
            ("bridge", Listed),
            ("isGateway", Harmless(Shape::Off)),
            ("isDefaultGateway", Harmless(Shape::Off)),
            ("forceAddress", Harmless(Shape::Off)),
            ("ipMasq", Harmless(Shape::Off)),
            ("ipMasqBackend", Listed),
            ("mtu", MTU),
            ("hairpinMode", Harmless(Shape::Off)),
            ("promiscMode", Harmless(Shape::Off)),
            // Each VLAN of a bridge is a network of its own.
            ("vlan", Harmless(Shape::Int(0, 0))),
            ("vlanTrunk", Listed),
            ("preserveDefaultVlan", TOGGLE),
            ("macspoofchk", Harmless(Shape::On)),
            ("enabledad", TOGGLE),
            ("disableContainerInterface", TOGGLE),
            ("portIsolation", TOGGLE),
        ],
    ),
    interface("dummy", &[], &[]),
    interface(
        "host-device",
        &[],
        &[
            ("device", Listed),
            ("hwaddr", Listed),
            ("kernelpath", Listed),
            ("pciBusID", Listed),
            ("deviceID", Listed),
        ],
    ),
    // Without `master` it is the device of the default route. Plugins before 1.2 know no linkInContainer, so that a
    // master is the node's in any case.
    interface(
        "ipvlan",
        &["master"],
        &[
            ("master", Listed),
            ("mode", Harmless(Shape::OneOf(&["l2", "l3", "l3s"]))),
            ("mtu", MTU),
            ("linkInContainer", TOGGLE),
        ],
    ),
    // `passthru` takes the whole device.
    interface(
        "macvlan",
        &["master"],
        &[
            ("master", Listed),
            (
                "mode",
                Harmless(Shape::OneOf(&["bridge", "private", "vepa"])),
            ),
            ("mtu", MTU),
            ("mac", Listed),
            ("linkInContainer", TOGGLE),
            ("bcqueuelen", Listed),
        ],
    ),
    interface(
        "ptp",
        &[],
        &[
            ("ipMasq", Harmless(Shape::Off)),
            ("ipMasqBackend", Listed),
            ("mtu", MTU),
        ],
    ),
    interface(
        "tap",
        &[],
        &[
            ("multiQueue", TOGGLE),
            ("mtu", MTU),
            ("mac", Listed),
            ("owner", Listed),
            ("group", Listed),
            ("selinuxContext", Listed),
            ("bridge", Listed),
        ],
    ),
    interface(
        "vlan",
        &["master", "vlanId"],
        &[
            ("master", Listed),
            ("vlanId", Listed),
            ("mtu", MTU),
            ("linkInContainer", TOGGLE),
        ],
    ),
    interface(
        "bandwidth",
        &[],
        &[
            ("ingressRate", BITS),
            ("ingressBurst", BITS),
            ("egressRate", BITS),
            ("egressBurst", BITS),
        ],
    ),
    interface(
        "firewall",
        &[],
        &[
            ("backend", Listed),
            ("iptablesAdminChainName", Never),
            ("firewalldZone", Listed),
            (
                "ingressPolicy",
                Harmless(Shape::OneOf(&["open", "same-bridge", "isolated"])),
            ),
        ],
    ),
    interface(
        "portmap",
        &[],
        &[
            ("backend", Listed),
            ("snat", TOGGLE),
            ("conditionsV4", Never),
            ("conditionsV6", Never),
            ("masqAll", Harmless(Shape::Off)),
            ("markMasqBit", Listed),
            ("externalSetMarkChain", Never),
        ],
    ),
    interface(
        "sbr",
        &[],
        &[
            ("table", Listed),
            ("gateways", Listed),
            ("addSourceHints", TOGGLE),
        ],
    ),
    interface(
        "tuning",
        &[],
        &[
            ("dataDir", Never),
            ("sysctl", Listed),
            ("mac", Listed),
            ("promisc", Harmless(Shape::Off)),
            ("mtu", MTU),
            ("txQLen", Harmless(Shape::Int(0, 10_000))),
            ("allmulti", Harmless(Shape::Off)),
        ],
    ),
    interface(
        "vrf",
        &[],
        &[("vrfname", Harmless(Shape::Interface)), ("table", Listed)],
    ),
    interface(
        "sriov",
        &[],
        &[
            ("vlan", Listed),
            ("vlanQoS", Listed),
            ("vlanProto", Listed),
            ("deviceID", Listed),
            ("min_tx_rate", Listed),
            ("max_tx_rate", Listed),
            ("spoofchk", Harmless(Shape::OneOf(&["on"]))),
            ("trust", Harmless(Shape::OneOf(&["off"]))),
            (
                "link_state",
                Harmless(Shape::OneOf(&["auto", "enable", "disable"])),
            ),
            ("logLevel", Never),
            ("logFile", Never),
            ("CNIDeviceInfoFile", Never),
        ],
    ),
    interface(
        "ovs",
        &["bridge"],
        &[
            ("bridge", Listed),
            ("vlan", Listed),
            ("mtu", MTU),
            ("trunk", Listed),
            ("deviceID", Listed),
            ("ofport_request", Listed),
            ("interface_type", Listed),
            ("configuration_path", Never),
            ("socket_file", Never),
            ("link_state_check_retries", Never),
            ("link_state_check_interval", Never),
        ],
    ),
    ipam(
        "dhcp",
        &[
            ("daemonSocketPath", Never),
            ("provide", Listed),
            ("request", Listed),
            ("priority", Harmless(Shape::Int(0, u32::MAX as u64))),
        ],
    ),
    ipam(
        "host-local",
        &[
            ("dataDir", Never),
            ("resolvConf", Never),
            ("ranges", Harmless(Shape::Ranges)),
            ("routes", Harmless(Shape::Routes)),
            ("subnet", Harmless(Shape::Network)),
            ("rangeStart", Harmless(Shape::Address)),
            ("rangeEnd", Harmless(Shape::Address)),
            ("gateway", Harmless(Shape::Address)),
        ],
    ),
    ipam(
        "static",
        &[
            ("addresses", Harmless(Shape::Addresses)),
            ("routes", Harmless(Shape::Routes)),
            ("dns", Harmless(Shape::Dns)),
        ],
    ),
    // Its ranges are one pool over all namespaces.
    ipam(
        "whereabouts",
        &[
            ("range", Listed),
            ("ipRanges", Listed),
            ("range_start", Harmless(Shape::Address)),
            ("range_end", Harmless(Shape::Address)),
            ("exclude", Harmless(Shape::Networks)),
            ("gateway", Harmless(Shape::Address)),
            ("routes", Harmless(Shape::Routes)),
            ("addresses", Harmless(Shape::Addresses)),
            ("dns", Harmless(Shape::Dns)),
            ("network_name", Listed),
            ("node_slice_size", Listed),
            ("enable_overlapping_ranges", Harmless(Shape::On)),
            ("datastore", Never),
            ("etcd_host", Never),
            ("etcd_username", Never),
            ("etcd_password", Never),
            ("etcd_key_file", Never),
            ("etcd_cert_file", Never),
            ("etcd_ca_cert_file", Never),
            ("kubernetes", Never),
            ("configuration_path", Never),
            ("log_file", Never),
            ("log_level", Never),
            ("reconciler_cron_expression", Never),
            ("leader_lease_duration", Never),
            ("leader_renew_deadline", Never),
            ("leader_retry_period", Never),
            ("sleep_for_race", Never),
        ],
    ),
];
