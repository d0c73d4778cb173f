//! Manifests that are broken, each in a way of its own.

/// A link in a PodConfig that is fine otherwise, and what the refusal must name.
pub const LINKS: [(&str, &str); 41] = [
    ("[]", "links"),
    ("{name: a}", "links"),
    ("[{veth: {bridge: b}}]", "name"),
    ("[{name: a}]", "links[0]"),
    ("[{name: a, veth: {}}]", "veth"),
    ("[{name: a, veth: {bridge: b, routed: {}}}]", "veth"),
    (
        "[{name: a, veth: {bridge: b}}, {name: a, veth: {bridge: c}}]",
        "name",
    ),
    ("[{name: lo, veth: {bridge: b}}]", "name"),
    ("[{name: eth0, veth: {bridge: b}}]", "name"),
    ("[{name: all, veth: {bridge: b}}]", "name"),
    ("[{name: default, veth: {bridge: b}}]", "name"),
    ("[{name: sixteen-letters1, veth: {bridge: b}}]", "name"),
    ("[{name: '', veth: {bridge: b}}]", "name"),
    ("[{name: 'a/b', veth: {bridge: b}}]", "name"),
    ("[{name: '..', veth: {bridge: b}}]", "name"),
    ("[{name: 'veth%d', veth: {bridge: b}}]", "name"),
    ("[{name: \"a\\nb\", veth: {bridge: b}}]", "name"),
    ("[{name: 'a b', veth: {bridge: b}}]", "name"),
    ("[{name: 'a:1', veth: {bridge: b}}]", "name"),
    ("[{name: 'lïnk', veth: {bridge: b}}]", "name"),
    ("[{name: a, veth: {bridge: '../b'}}]", "bridge"),
    ("[{name: a, veth: {bridge: b}, mtu: 67}]", "mtu"),
    ("[{name: a, veth: {bridge: b}, mtu: 65536}]", "mtu"),
    ("[{name: a, veth: {bridge: b}, mtu: '1500'}]", "mtu"),
    (
        "[{name: a, veth: {bridge: b}, mac: '01:00:5e:00:00:01'}]",
        "mac",
    ),
    (
        "[{name: a, veth: {bridge: b}, mac: '00:00:00:00:00:00'}]",
        "mac",
    ),
    (
        "[{name: a, veth: {bridge: b}, adresses: [10.1.0.1/24]}]",
        "adresses",
    ),
    (
        "[{name: a, veth: {bridge: b}, addresses: [10.1.0.1]}]",
        "addresses",
    ),
    (
        "[{name: a, veth: {bridge: b}, addresses: ['::ffff:10.1.0.1/120']}]",
        "addresses",
    ),
    (
        "[{name: a, veth: {bridge: b}, addresses: [169.254.169.254/32]}]",
        "addresses",
    ),
    (
        "[{name: a, veth: {bridge: b}, addresses: [224.0.0.1/24]}]",
        "addresses",
    ),
    (
        "[{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.1/8, via: 10.1.0.1}]}]",
        "routes",
    ),
    (
        "[{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, via: 10.1.0.1, metric: -1}]}]",
        "metric",
    ),
    (
        "[{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, via: 10.1.0.1, table: 0}]}]",
        "table",
    ),
    (
        "[{name: a, veth: {bridge: b}, routes: [{to: 10.0.0.0/8, via: 10.1.0.1, table: 255}]}]",
        "table",
    ),
    ("[{name: a, ipvlan: {parent: eth0}}]", "ipvlan"),
    ("[{name: a, vlan: {parent: eth0, id: 4095}}]", "id"),
    (
        "[{name: a, vlan: {parent: eth0, parentLink: data0, id: 7}}]",
        "vlan",
    ),
    (
        "[{name: a, vxlan: {underlay: eth1, vni: 16777216, peers: {group: 239.1.1.1}}}]",
        "vni",
    ),
    (
        "[{name: a, vxlan: {underlayLink: eth1, vni: 7, peers: {auto: {}}}}]",
        "auto",
    ),
    ("[{name: a, veth: {bridge: b}, slaac: accept}]", "slaac"),
];

/// Whole files that are broken, each in a way of its own.
pub const FILES: [(&str, &str); 12] = [
    ("not-yaml", "{{{{"),
    (
        "torn",
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {name: x, namespace: [\n",
    ),
    ("scalar", "just words"),
    (
        "no-kind",
        "apiVersion: podconfig.dev/v1alpha1\nmetadata: {name: x}\n",
    ),
    (
        "other-kind",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: y}\n",
    ),
    (
        "other-version",
        "apiVersion: podconfig.dev/v9\nkind: PodConfig\nmetadata: {name: x, namespace: y}\n",
    ),
    (
        "no-name",
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {namespace: y}\nspec: {}\n",
    ),
    (
        "bad-name",
        "apiVersion: v1\nkind: Pod\nmetadata: {namespace: tenant-a, name: \"web\\n{evil: 1}\"}\n",
    ),
    (
        "path-name",
        "apiVersion: v1\nkind: Pod\nmetadata: {namespace: '../../etc', name: web}\n",
    ),
    (
        "no-selector",
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {name: x, namespace: y}\n\
      spec: {links: [{name: a, veth: {bridge: b}}]}\n",
    ),
    (
        "bad-selector",
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {name: x, namespace: y}\n\
      spec: {podSelector: {matchExpressions: [{key: a, operator: Like}]}, links: [{name: a, veth: {bridge: b}}]}\n",
    ),
    (
        "two-keys",
        "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\nmetadata: {name: x, namespace: y}\n\
      spec: {podSelector: {}, podSelector: {}, links: [{name: a, veth: {bridge: b}}]}\n",
    ),
];
