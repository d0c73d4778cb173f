//! What a policy can never say about addresses: members of its spec, where the error is, and the end of its message.
//! Read by the daemon's tests and by those of an API server.

pub type Row = (&'static str, &'static [(&'static str, &'static str)]);

const NETWORK: &str = "write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32";
const DOMAIN: &str =
    "a domain has only lower-case letters, digits and '-', and starts and ends with no '-'";
const NEVER: &str = "nothing may overlap service networks, loopback, link-local and multicast; leave ServiceCIDR and Protocol out";

/// What rules refuse: in the same words everywhere.
pub const BY_RULE: &[Row] = &[
    (
        "allow: [{veth: {bridges: Own}, domains: [cluster, Blue]}]",
        &[("allow[0].domains[1]", DOMAIN)],
    ),
    (
        "allow: [{veth: {bridges: Own}, domains: ['*']}]",
        &[("allow[0].domains[0]", DOMAIN)],
    ),
    (
        "allow: [{veth: {bridges: Own}, addresses: [10.0.0.0]}]",
        &[("allow[0].addresses[0]", NETWORK)],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{prefix: 10.0.0.1/24, sources: [NodeRoutes]}]}]",
        &[("allow[0].mayOverlap[0].prefix", NETWORK)],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{prefix: 10.0.0.0/24, sources: [NodeRoutes, ServiceCIDR]}]}]",
        &[("allow[0].mayOverlap[0]", NEVER)],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{prefix: 169.254.0.0/16, sources: [Protocol]}]}]",
        &[("allow[0].mayOverlap[0]", NEVER)],
    ),
    ("reserved: [10.0.0.1/8]", &[("reserved[0]", NETWORK)]),
    (
        "reserved: [10.0.0.0/8, '::ffff:10.0.0.0/104']",
        &[("reserved[1]", NETWORK)],
    ),
    ("reserved: ['']", &[("reserved[0]", NETWORK)]),
];

/// What the shape of the object does not let in: an API server has words of its own for that.
pub const BY_SHAPE: &[Row] = &[
    (
        "allow: [{veth: {bridges: Own}, domains: ['']}]",
        &[("allow[0].domains[0]", "is empty")],
    ),
    (
        "allow: [{veth: {bridges: Own}, domains: [blue, blue]}]",
        &[("allow[0].domains[1]", r#"duplicate value "blue""#)],
    ),
    (
        "allow: [{veth: {bridges: Own}, domains: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]}]",
        &[("allow[0].domains", "17 items are more than 16")],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{prefix: 10.0.0.0/24}]}]",
        &[("allow[0].mayOverlap[0].sources", "is missing")],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{prefix: 10.0.0.0/24, sources: []}]}]",
        &[("allow[0].mayOverlap[0].sources", "needs at least 1 item")],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{prefix: 10.0.0.0/24, sources: [Cilium, Cilium]}]}]",
        &[(
            "allow[0].mayOverlap[0].sources[1]",
            r#"duplicate value "Cilium""#,
        )],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{prefix: 10.0.0.0/24, sources: [nodeRoutes]}]}]",
        &[("allow[0].mayOverlap[0].sources[0]", "")],
    ),
    (
        "allow: [{veth: {bridges: Own}, mayOverlap: [{sources: [NodeRoutes]}]}]",
        &[("allow[0].mayOverlap[0].prefix", "is missing")],
    ),
    (
        "onConflict: Delete",
        &[("onConflict", r#""Delete" is not one of Keep, Detach"#)],
    ),
    (
        "netAdmin: None",
        &[("netAdmin", r#""None" is not one of Any, UserNamespace"#)],
    ),
    (
        "reserved: 10.0.0.0/8",
        &[("reserved", r#""10.0.0.0/8" is not a list"#)],
    ),
];

/// What is unusual, and right.
pub const RIGHT: &[&str] = &[
    "allow: [{veth: {bridges: Own}, domains: [blue], addresses: [0.0.0.0/0, '::/0'], mayOverlap: [{prefix: 0.0.0.0/0, sources: [NodeRoutes, MachineNetwork, Administrator]}]}]",
    "reserved: [0.0.0.0/0, '::/0']",
    "netAdmin: Any",
    "netAdmin: UserNamespace",
    "onConflict: Detach",
    "onConflict: Keep, reserved: []",
];
