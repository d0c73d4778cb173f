use super::*;

const ADDRESSES: &[Case] = &[
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['10.0.0.1']}",
        &[
            r#"spec.links[0].addresses[0]: "10.0.0.1": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['10.0.0.1/33']}",
        &[
            r#"spec.links[0].addresses[0]: "10.0.0.1/33": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['10.0.0.1/024']}",
        &[
            r#"spec.links[0].addresses[0]: "10.0.0.1/024": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['010.0.0.1/24']}",
        &[
            r#"spec.links[0].addresses[0]: "010.0.0.1/24": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['10.0.0.1/24 ']}",
        &[
            r#"spec.links[0].addresses[0]: "10.0.0.1/24 ": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['fe80::1/64']}",
        &[
            r#"spec.links[0].addresses[0]: "fe80::1/64": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['127.0.0.1/8']}",
        &[
            r#"spec.links[0].addresses[0]: "127.0.0.1/8": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['224.0.0.1/24']}",
        &[
            r#"spec.links[0].addresses[0]: "224.0.0.1/24": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['0.0.0.0/8']}",
        &[
            r#"spec.links[0].addresses[0]: "0.0.0.0/8": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
            r#"spec.links[0].addresses[0]: "0.0.0.0/8": this is the network itself; write an address in it, such as 10.99.0.10/24"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['192.168.7.255/24']}",
        &[
            r#"spec.links[0].addresses[0]: "192.168.7.255/24": this is the broadcast address of its network; write an address of one host, such as 10.99.0.10/24"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['10.255.255.255/8', '10.3.255.255/14', '10.0.0.3/30']}",
        &[
            r#"spec.links[0].addresses[0]: "10.255.255.255/8": this is the broadcast address of its network; write an address of one host, such as 10.99.0.10/24"#,
            r#"spec.links[0].addresses[1]: "10.3.255.255/14": this is the broadcast address of its network; write an address of one host, such as 10.99.0.10/24"#,
            r#"spec.links[0].addresses[2]: "10.0.0.3/30": this is the broadcast address of its network; write an address of one host, such as 10.99.0.10/24"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['255.255.255.255/32']}",
        &[
            r#"spec.links[0].addresses[0]: "255.255.255.255/32": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['::1/128']}",
        &[
            r#"spec.links[0].addresses[0]: "::1/128": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['::/64']}",
        &[
            r#"spec.links[0].addresses[0]: "::/64": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
            r#"spec.links[0].addresses[0]: "::/64": this is the network itself; write an address in it, such as 10.99.0.10/24"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['ff02::1/64']}",
        &[
            r#"spec.links[0].addresses[0]: "ff02::1/64": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['169.254.1.1/16']}",
        &[
            r#"spec.links[0].addresses[0]: "169.254.1.1/16": an interface has no loopback, link-local, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['::ffff:10.0.0.1/104']}",
        &[
            r#"spec.links[0].addresses[0]: "::ffff:10.0.0.1/104": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['fd99::1%eth0/64']}",
        &[
            r#"spec.links[0].addresses[0]: "fd99::1%eth0/64": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['10.0.0.1/7']}",
        &[
            r#"spec.links[0].addresses[0]: "10.0.0.1/7": the prefix length is less than 8; write that of the network that the link is in"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['10.0.0.0/24']}",
        &[
            r#"spec.links[0].addresses[0]: "10.0.0.0/24": this is the network itself; write an address in it, such as 10.99.0.10/24"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['fd99::/64']}",
        &[
            r#"spec.links[0].addresses[0]: "fd99::/64": this is the network itself; write an address in it, such as 10.99.0.10/24"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['fd99::1/129']}",
        &[
            r#"spec.links[0].addresses[0]: "fd99::1/129": write the address with the prefix length of its network, such as 10.99.0.10/24 or fd99::10/64"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.1/24, 10.0.0.2/24, 10.0.0.1/24]}",
        &[r#"spec.links[0].addresses[2]: duplicate value "10.0.0.1/24""#],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.1/24, 10.0.1.1/24, 10.0.2.1/24, 10.0.3.1/24, 10.0.4.1/24, 10.0.5.1/24, 10.0.6.1/24, 10.0.7.1/24, 10.0.8.1/24]}",
        &["spec.links[0].addresses: 9 items are more than 8"],
    ),
];

#[test]
fn an_address_that_no_interface_can_have_is_refused() {
    all_refused(ADDRESSES);
}

const ROUTES: &[Case] = &[
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{}]}",
        &["spec.links[0].routes[0].to: is missing"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: default}]}",
        &[
            r#"spec.links[0].routes[0].to: "default": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.1/24}]}",
        &[
            r#"spec.links[0].routes[0].to: "10.0.0.1/24": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/08}]}",
        &[
            r#"spec.links[0].routes[0].to: "10.0.0.0/08": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: '::ffff:10.0.0.0/104'}]}",
        &[
            r#"spec.links[0].routes[0].to: "::ffff:10.0.0.0/104": write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, via: 'fd99::1'}]}",
        &["spec.links[0].routes[0]: via and to are of one family: both IPv4 or both IPv6"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: '::/0', via: 10.0.0.1}]}",
        &["spec.links[0].routes[0]: via and to are of one family: both IPv4 or both IPv6"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, via: 10.0.0.1/8}]}",
        &[
            r#"spec.links[0].routes[0].via: "10.0.0.1/8": write one IP address with no prefix length, such as 10.99.0.1 or fd99::1"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, via: 0.0.0.0}]}",
        &[
            r#"spec.links[0].routes[0].via: "0.0.0.0": a gateway is one neighbour: no loopback, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, via: 224.0.0.1}]}",
        &[
            r#"spec.links[0].routes[0].via: "224.0.0.1": a gateway is one neighbour: no loopback, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: '::/0', via: '::1'}]}",
        &[
            r#"spec.links[0].routes[0].via: "::1": a gateway is one neighbour: no loopback, multicast, broadcast or unspecified address"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: '::/0', via: 'fe80::1%eth0'}]}",
        &[
            r#"spec.links[0].routes[0].via: "fe80::1%eth0": write one IP address with no prefix length, such as 10.99.0.1 or fd99::1"#,
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.1/24], routes: [{to: 172.20.0.0/16, via: 10.0.1.1}]}",
        &[
            "spec.links[0]: via is in none of the link's networks, so the kernel would not know the way to it; write an address of one of them, a link-local IPv6 address, or a route without via that leads to it",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: ['fd99::1/64'], routes: [{to: '::/0', via: 'fd98::1'}]}",
        &[
            "spec.links[0]: via is in none of the link's networks, so the kernel would not know the way to it; write an address of one of them, a link-local IPv6 address, or a route without via that leads to it",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, ipam: {ranges: [{cidr: 10.0.0.0/24}]}, routes: [{to: 172.20.0.0/16}, {to: 172.21.0.0/16, via: 10.0.1.1}]}",
        &[
            "spec.links[0]: via is in none of the link's networks, so the kernel would not know the way to it; write an address of one of them, a link-local IPv6 address, or a route without via that leads to it",
        ],
    ),
    (
        link,
        "{name: a, vlan: {parent: p, id: 7}, addresses: [10.0.0.1/24], slaac: Accept, routes: [{to: 172.20.0.0/16, via: 10.0.1.1}]}",
        &[
            "spec.links[0]: via is in none of the link's networks, so the kernel would not know the way to it; write an address of one of them, a link-local IPv6 address, or a route without via that leads to it",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.1/24], routes: [{to: 172.20.0.0/16, via: 169.254.1.2}]}",
        &[
            "spec.links[0]: via is in none of the link's networks, so the kernel would not know the way to it; write an address of one of them, a link-local IPv6 address, or a route without via that leads to it",
        ],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.1/24], routes: [{to: 172.20.0.0/16, via: 10.0.0.1}]}",
        &["spec.links[0]: via is a neighbour, and not one of the link's own addresses"],
    ),
    (
        link,
        "{name: a, veth: {routed: {}}, addresses: [10.0.0.1/24], routes: [{to: 172.20.0.0/16, via: 10.0.0.2}]}",
        &["spec.links[0]: the only neighbour on a routed link is the node; leave via out"],
    ),
    (
        link,
        "{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, dev: eth0}]}",
        &["spec.links[0].routes[0].dev: unknown field"],
    ),
];

#[test]
fn a_route_that_leads_nowhere_is_refused() {
    all_refused(ROUTES);
}
