//! What is never right about addresses that are asked for. The daemon and an API server judge by the same
//! rules, so both read this table: fields of a link, where the error is, and the words of the rule.

/// Of a link's fields; each error with its place in the link, and the end of its message.
pub type Row = (&'static str, &'static [(&'static str, &'static str)]);

const NETWORK: &str = "write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32";
const SPECIAL: &str =
    "addresses are not given out of loopback, link-local, multicast or unspecified networks";
const WIDE: &str =
    "the prefix length is less than 8; write that of the network that the link is in";
const ALONE: &str = "this is one address and no range; write it under addresses";
const ONE: &str = "write one IP address with no prefix length, such as 10.99.0.10 or fd99::10";
const ROUTER: &str = "write one IP address with no prefix length, such as 10.99.0.1 or fd99::1";
const NEIGHBOUR: &str =
    "a gateway is one neighbour: no loopback, multicast, broadcast or unspecified address";
const GATEWAY: &str = "the gateway is an address of cidr; routes through others name theirs in via";
const OUTSIDE: &str = "what is excluded lies in cidr; leave out what does not";
const OVERLAP: &str = "a pod gets an address of each range, so the ranges of a link do not overlap; write one, and what it leaves out under exclude";
const DOMAIN: &str =
    "a domain has only lower-case letters, digits and '-', and starts and ends with no '-'";
const NOTHING: &str = "ipam without ranges gives no address; add ranges, or the domain of the addresses that are listed";

const REVERSED: &str = "start is after end; write the lower address as start";

const CIDR: &str = "ipam.ranges[0].cidr";
const START: &str = "ipam.ranges[0].start";
const END: &str = "ipam.ranges[0].end";
const VIA: &str = "ipam.ranges[0].gateway";
const RANGE: &str = "ipam.ranges[0]";

/// What rules refuse: in the same words everywhere.
pub const BY_RULE: &[Row] = &[
    // Networks.
    ("ipam: {ranges: [{cidr: ''}]}", &[(CIDR, NETWORK)]),
    ("ipam: {ranges: [{cidr: 10.0.0.0}]}", &[(CIDR, NETWORK)]),
    ("ipam: {ranges: [{cidr: 10.0.0.1/24}]}", &[(CIDR, NETWORK)]),
    ("ipam: {ranges: [{cidr: 10.0.0.0/024}]}", &[(CIDR, NETWORK)]),
    ("ipam: {ranges: [{cidr: 10.0.0.0/33}]}", &[(CIDR, NETWORK)]),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/255.255.255.0}]}",
        &[(CIDR, NETWORK)],
    ),
    ("ipam: {ranges: [{cidr: 010.0.0.0/24}]}", &[(CIDR, NETWORK)]),
    ("ipam: {ranges: [{cidr: 10.0.0/24}]}", &[(CIDR, NETWORK)]),
    (
        "ipam: {ranges: [{cidr: '10.0.0.0/24 '}]}",
        &[(CIDR, NETWORK)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0-10.0.0.9}]}",
        &[(CIDR, NETWORK)],
    ),
    (
        "ipam: {ranges: [{cidr: '１０.0.0.0/24'}]}",
        &[(CIDR, NETWORK)],
    ),
    ("ipam: {ranges: [{cidr: 'fd00::1/64'}]}", &[(CIDR, NETWORK)]),
    ("ipam: {ranges: [{cidr: 'fd00::/129'}]}", &[(CIDR, NETWORK)]),
    (
        "ipam: {ranges: [{cidr: 'fd00::%eth0/64'}]}",
        &[(CIDR, NETWORK)],
    ),
    (
        "ipam: {ranges: [{cidr: '::ffff:10.0.0.0/120'}]}",
        &[(CIDR, NETWORK)],
    ),
    (
        "ipam: {ranges: [{cidr: '::ffff:a00:0/120'}]}",
        &[(CIDR, NETWORK)],
    ),
    (
        "ipam: {ranges: [{cidr: 0.0.0.0/0}]}",
        &[(CIDR, SPECIAL), (CIDR, WIDE)],
    ),
    (
        "ipam: {ranges: [{cidr: '::/0'}]}",
        &[(CIDR, SPECIAL), (CIDR, WIDE)],
    ),
    ("ipam: {ranges: [{cidr: 8.0.0.0/7}]}", &[(CIDR, WIDE)]),
    ("ipam: {ranges: [{cidr: '2000::/3'}]}", &[(CIDR, WIDE)]),
    ("ipam: {ranges: [{cidr: 10.0.0.1/32}]}", &[(CIDR, ALONE)]),
    ("ipam: {ranges: [{cidr: 'fd00::1/128'}]}", &[(CIDR, ALONE)]),
    ("ipam: {ranges: [{cidr: 0.0.0.0/8}]}", &[(CIDR, SPECIAL)]),
    ("ipam: {ranges: [{cidr: 127.0.0.0/16}]}", &[(CIDR, SPECIAL)]),
    (
        "ipam: {ranges: [{cidr: 169.254.0.0/16}]}",
        &[(CIDR, SPECIAL)],
    ),
    (
        "ipam: {ranges: [{cidr: 169.254.169.254/31}]}",
        &[(CIDR, SPECIAL)],
    ),
    ("ipam: {ranges: [{cidr: 169.0.0.0/8}]}", &[(CIDR, SPECIAL)]),
    ("ipam: {ranges: [{cidr: 224.0.0.0/24}]}", &[(CIDR, SPECIAL)]),
    (
        "ipam: {ranges: [{cidr: 255.255.255.255/32}]}",
        &[(CIDR, SPECIAL), (CIDR, ALONE)],
    ),
    ("ipam: {ranges: [{cidr: 'fe80::/64'}]}", &[(CIDR, SPECIAL)]),
    ("ipam: {ranges: [{cidr: 'fe00::/8'}]}", &[(CIDR, SPECIAL)]),
    ("ipam: {ranges: [{cidr: 'ff05::/64'}]}", &[(CIDR, SPECIAL)]),
    ("ipam: {ranges: [{cidr: '::/64'}]}", &[(CIDR, SPECIAL)]),
    // The first and the last address.
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.1.1}]}",
        &[(RANGE, "start is an address of cidr")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, end: 10.0.1.1}]}",
        &[(RANGE, "end is an address of cidr")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, end: 255.255.255.255}]}",
        &[(RANGE, "end is an address of cidr")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 'fd00::1'}]}",
        &[(RANGE, "start is an address of cidr")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/16, start: 10.0.1.0, end: 10.0.0.255}]}",
        &[(RANGE, REVERSED)],
    ),
    (
        "ipam: {ranges: [{cidr: 240.0.0.0/8, start: 240.255.255.254, end: 240.0.0.1}]}",
        &[(RANGE, REVERSED)],
    ),
    (
        "ipam: {ranges: [{cidr: 'fd00::/64', end: 10.0.0.9}]}",
        &[(RANGE, "end is an address of cidr")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.0.010}]}",
        &[(START, ONE)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.0.1/24}]}",
        &[(START, ONE)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: '::ffff:10.0.0.1'}]}",
        &[(START, ONE)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: ''}]}",
        &[(START, ONE)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, end: '10.0.0.٩'}]}",
        &[(END, ONE)],
    ),
    (
        "ipam: {ranges: [{cidr: 'fd00::/64', end: 'fd00::9%eth0'}]}",
        &[(END, ONE)],
    ),
    // The gateway.
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 10.0.1.1}]}",
        &[(RANGE, GATEWAY)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 'fd00::1'}]}",
        &[(RANGE, GATEWAY)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 'fe80::1'}]}",
        &[(RANGE, GATEWAY)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 169.254.1.1}]}",
        &[(RANGE, GATEWAY)],
    ),
    (
        "ipam: {ranges: [{cidr: 'fd00::/64', gateway: 169.254.1.1}]}",
        &[(RANGE, GATEWAY)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 10.0.0.0}]}",
        &[(
            RANGE,
            "the gateway is the network itself; write the address that its router has",
        )],
    ),
    (
        "ipam: {ranges: [{cidr: 'fd00::/64', gateway: 'fd00::'}]}",
        &[(
            RANGE,
            "the gateway is the network itself; write the address that its router has",
        )],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 255.255.255.255}]}",
        &[(VIA, NEIGHBOUR), (RANGE, GATEWAY)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 127.0.0.1}]}",
        &[(VIA, NEIGHBOUR), (RANGE, GATEWAY)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 10.0.0.1/24}]}",
        &[(VIA, ROUTER)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 10.0.0.1}]}, addresses: [10.0.0.1/24]",
        &[(
            "",
            "the gateway of a range is a neighbour, and not one of the link's own addresses",
        )],
    ),
    // What is left out.
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.1.0/28]}]}",
        &[(RANGE, OUTSIDE)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.0.0/16]}]}",
        &[(RANGE, OUTSIDE)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: ['fd00::/120']}]}",
        &[(RANGE, OUTSIDE)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.0.0/24]}]}",
        &[(
            RANGE,
            "what is excluded is all of cidr; no address is left to give out",
        )],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.0.7]}]}",
        &[("ipam.ranges[0].exclude[0]", NETWORK)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.0.7/28]}]}",
        &[("ipam.ranges[0].exclude[0]", NETWORK)],
    ),
    // Several ranges.
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24}, {cidr: 10.0.0.0/24}]}",
        &[("ipam", OVERLAP)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, end: 10.0.0.9}, {cidr: 10.0.0.0/24, start: 10.0.0.20}]}",
        &[("ipam", OVERLAP)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24}, {cidr: 10.0.0.128/25}]}",
        &[("ipam", OVERLAP)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24}, {cidr: 'fd00:0:0:1::/64'}, {cidr: 'fd00::/48'}]}",
        &[("ipam", OVERLAP)],
    ),
    // The domain, and nothing at all.
    (
        "ipam: {domain: Blue, ranges: [{cidr: 10.0.0.0/24}]}",
        &[("ipam.domain", DOMAIN)],
    ),
    (
        "ipam: {domain: blue.net, ranges: [{cidr: 10.0.0.0/24}]}",
        &[("ipam.domain", DOMAIN)],
    ),
    (
        "ipam: {domain: -blue, ranges: [{cidr: 10.0.0.0/24}]}",
        &[("ipam.domain", DOMAIN)],
    ),
    (
        "ipam: {domain: blue_net, ranges: [{cidr: 10.0.0.0/24}]}",
        &[("ipam.domain", DOMAIN)],
    ),
    (
        "ipam: {domain: 'blaü', ranges: [{cidr: 10.0.0.0/24}]}",
        &[("ipam.domain", DOMAIN)],
    ),
    ("ipam: {}", &[("ipam", NOTHING)]),
    ("ipam: {ranges: []}", &[("ipam", NOTHING)]),
    // The rest of the link.
    (
        "mtu: 1279, ipam: {ranges: [{cidr: 'fd00::/64'}]}",
        &[("", "IPv6 needs an mtu of at least 1280")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: 10.0.0.1}]}, routes: [{to: '::/0', via: 10.0.0.1}]",
        &[(
            "routes[0]",
            "via and to are of one family: both IPv4 or both IPv6",
        )],
    ),
];

/// What the shape of the object does not let in: an API server has words of its own for that.
pub const BY_SHAPE: &[Row] = &[
    ("ipam: {ranges: [{}]}", &[(CIDR, "is missing")]),
    (
        "ipam: {ranges: [{cidr: 10}]}",
        &[(CIDR, "10 is not a string; put it in quotes")],
    ),
    (
        "ipam: {ranges: {cidr: 10.0.0.0/24}}",
        &[("ipam.ranges", "an object is not a list")],
    ),
    (
        "ipam: {ranges: [10.0.0.0/24]}",
        &[(RANGE, r#""10.0.0.0/24" is not an object"#)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: 10.0.0.0/28}]}",
        &[("ipam.ranges[0].exclude", r#""10.0.0.0/28" is not a list"#)],
    ),
    (
        "ipam: {ranges: [{cidr: 10.1.0.0/24}, {cidr: 10.2.0.0/24}, {cidr: 10.3.0.0/24}, {cidr: 10.4.0.0/24}, {cidr: 10.5.0.0/24}]}",
        &[("ipam.ranges", "5 items are more than 4")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/8, exclude: [10.0.0.0/24, 10.1.0.0/24, 10.2.0.0/24, 10.3.0.0/24, 10.4.0.0/24, 10.5.0.0/24, 10.6.0.0/24, 10.7.0.0/24, \
      10.8.0.0/24, 10.9.0.0/24, 10.10.0.0/24, 10.11.0.0/24, 10.12.0.0/24, 10.13.0.0/24, 10.14.0.0/24, 10.15.0.0/24, 10.16.0.0/24]}]}",
        &[("ipam.ranges[0].exclude", "17 items are more than 16")],
    ),
    (
        "ipam: {ranges: [{cidr: '0000:0000:0000:0000:0000:0000:0000:0000/1280'}]}",
        &[(
            CIDR,
            r#""0000:0000:0000:0000:0000:0000:0000:0000/1280" is longer than 43 characters"#,
        )],
    ),
    (
        "ipam: {domain: '', ranges: [{cidr: 10.0.0.0/24}]}",
        &[("ipam.domain", "is empty")],
    ),
    (
        "ipam: {domain: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
        &[("ipam.domain", "is longer than 63 characters")],
    ),
];

/// Fields that nobody knows, and null: an API server takes them away, and warns where it is asked to.
pub const BY_WORD: &[Row] = &[
    (
        "ipam: null",
        &[("ipam", "is null; give it a value or leave the field out")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gateway: null}]}",
        &[(VIA, "is null; give it a value or leave the field out")],
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, gatway: 10.0.0.1}]}",
        &[(
            "ipam.ranges[0].gatway",
            "unknown field; did you mean gateway?",
        )],
    ),
    (
        "ipam: {type: host-local, ranges: [{cidr: 10.0.0.0/24}]}",
        &[("ipam.type", "unknown field")],
    ),
    (
        "ipam: {ranges: [{range: 10.0.0.0/24}]}",
        &[
            ("ipam.ranges[0].range", "unknown field"),
            (CIDR, "is missing"),
        ],
    ),
];

/// What no rule can say: an API server takes it, and the nodes refuse it, in words that hold these.
pub const BY_NODES: &[(&str, &str)] = &[
    (
        "ipam: {ranges: [{cidr: 'fd00::/64', start: 'fd00::10', end: 'fd00::f'}]}",
        "starts at fd00::10, after its end fd00::f",
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.0.0/25, 10.0.0.128/25]}]}",
        "has no usable address",
    ),
    (
        "ipam: {ranges: [{cidr: 'fd00::/64', exclude: ['fd00:0:0:0:8000::/65', 'fd00::/65']}]}",
        "has no usable address",
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.0.9, end: 10.0.0.9, gateway: 10.0.0.9}]}",
        "has no usable address",
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.0.255}]}",
        "has no usable address",
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, end: 10.0.0.0}]}",
        "has no usable address",
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/31, gateway: 10.0.0.0, exclude: [10.0.0.1/32]}]}",
        "has no usable address",
    ),
    (
        "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.0.8, end: 10.0.0.11, exclude: [10.0.0.8/30]}]}",
        "has no usable address",
    ),
];

/// What is unusual, and right.
pub const RIGHT: &[&str] = &[
    "ipam: {ranges: [{cidr: 10.0.0.0/31}]}",
    "ipam: {ranges: [{cidr: 10.0.0.0/31, gateway: 10.0.0.0}]}",
    "ipam: {ranges: [{cidr: 'fd00::/127', gateway: 'fd00::'}]}",
    "ipam: {ranges: [{cidr: 10.0.0.0/8}]}",
    "ipam: {ranges: [{cidr: 'fd00::/8'}]}",
    // Class E: some clouds give it to pods.
    "ipam: {ranges: [{cidr: 240.0.0.0/24}]}",
    "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.0.9, end: 10.0.0.9}]}",
    "ipam: {ranges: [{cidr: 10.0.0.0/24, start: 10.0.0.0, end: 10.0.0.255}]}",
    "ipam: {ranges: [{cidr: 240.0.0.0/8, start: 240.9.255.255, end: 240.10.0.0}]}",
    "ipam: {ranges: [{cidr: 'FD00:0::/64', start: 'fd00:0:0:0:0:0:0:9', gateway: 'fe80::1'}]}",
    "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.0.0/28, 10.0.0.0/28, 10.0.0.8/32]}]}",
    // What a range leaves out is where listed addresses come from.
    "ipam: {ranges: [{cidr: 10.0.0.0/24, exclude: [10.0.0.0/28]}]}, addresses: [10.0.0.7/24]",
    "ipam: {ranges: [{cidr: 10.0.0.0/24}]}, addresses: [10.1.0.7/24]",
    "ipam: {ranges: [{cidr: 10.0.0.0/24}, {cidr: 10.0.1.0/24}, {cidr: 'fd00::/64'}, {cidr: 'fd00:0:0:1::/64'}]}",
    "ipam: {domain: blue}, addresses: [10.0.0.7/24]",
    "ipam: {domain: 0-9, ranges: [{cidr: 10.0.0.0/24}]}",
    "mtu: 1280, ipam: {ranges: [{cidr: 'fd00::/64'}]}",
    "mtu: 576, ipam: {ranges: [{cidr: 10.0.0.0/24}]}",
];
