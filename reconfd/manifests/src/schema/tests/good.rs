use super::*;

/// The kinds of the samples, sorted.
const SAMPLES: [&str; 16] = [
    "AddressClaim",
    "Namespace",
    "NetworkAttachmentDefinition",
    "PeerSlice",
    "Pod",
    "PodConfig",
    "PodConfig",
    "PodConfig",
    "PodConfig",
    "PodConfig",
    "PodConfig",
    "PodConfig",
    "PodConfigPolicy",
    "PodReport",
    "ReservedNetworks",
    "ReservedNetworks",
];

#[test]
fn every_sample_is_admitted_and_typed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/samples");
    let mut kinds = Vec::new();
    let written_by_programs = [
        crds::definition::of::<crds::PodReport>(),
        crds::definition::of::<crds::AddressClaim>(),
        crds::definition::of::<crds::ReservedNetworks>(),
    ];
    let written_by_programs = written_by_programs.map(|crd| Schema::of(&crd).unwrap());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let value: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let kind = value["kind"].as_str().unwrap().to_owned();
        let of_kind = |schema: &&Schema| schema.kind == kind;
        let schema = Schema::for_kind(&kind).or_else(|| written_by_programs.iter().find(of_kind));
        let schema = schema.unwrap_or_else(|| panic!("{path:?}: nobody knows the kind"));
        let admitted = schema
            .admit(value)
            .unwrap_or_else(|errors| panic!("{path:?}: {:?}", messages(&errors)));
        match kind.as_str() {
            "PodConfig" => drop(serde_json::from_value::<crds::PodConfig>(admitted).unwrap()),
            "PodConfigPolicy" => {
                drop(serde_json::from_value::<crds::PodConfigPolicy>(admitted).unwrap())
            }
            "PeerSlice" => drop(serde_json::from_value::<crds::PeerSlice>(admitted).unwrap()),
            "AddressClaim" => {
                let claim: crds::AddressClaim = serde_json::from_value(admitted).unwrap();
                let name = crds::claim::claim_name(&claim.spec.domain, claim.spec.address);
                assert_eq!(claim.metadata.name, Some(name));
            }
            "ReservedNetworks" => {
                drop(serde_json::from_value::<crds::ReservedNetworks>(admitted).unwrap())
            }
            "PodReport" => drop(
                serde_json::from_value::<crds::PodReport>(admitted)
                    .unwrap()
                    .status
                    .unwrap(),
            ),
            _ => {}
        }
        kinds.push(kind);
    }
    kinds.sort();
    assert_eq!(kinds, SAMPLES);
}

/// This code asks the rules itself, for speed; kube's own evaluation of the same CRD must agree.
#[test]
fn the_rules_say_what_kube_makes_of_them() {
    let crd = serde_json::to_value(crds::definition::of::<crds::PodConfig>()).unwrap();
    let rules =
        kube::core::cel::compile_schema(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let mut verdicts = [0, 0];
    for prefix in [
        "10.0.0.1/24",
        "10.0.0.0/24",
        "127.0.0.1/8",
        "fd99::1/64",
        "10.0.0.1",
        "010.0.0.1/8",
    ] {
        for link in [
            format!("{{name: a, veth: {{bridge: b}}, addresses: ['{prefix}']}}"),
            format!("{{name: a, veth: {{bridge: b}}, mtu: 1000, routes: [{{to: '{prefix}'}}]}}"),
            format!("{{name: lo, veth: {{bridge: b}}, addresses: ['{prefix}']}}"),
            format!(
                "{{name: a, veth: {{bridge: b, routed: {{}}}}, mtu: 1000, addresses: ['{prefix}']}}"
            ),
        ] {
            let yaml = links(&format!("[{link}]"));
            let value: Value = serde_saphyr::from_str(&yaml).unwrap();
            let theirs = kube::core::cel::validate_compiled(&rules, &value, None);
            let (ours, theirs) = (
                admit_yaml(&yaml).map_err(|f| f.len()),
                theirs.map_err(|e| e.len()),
            );
            assert_eq!(ours.map(drop), theirs, "{link}");
            verdicts[usize::from(theirs.is_ok())] += 1;
        }
    }
    assert!(verdicts.iter().all(|&count| count >= 3), "{verdicts:?}");
}

/// The same for links that reach beyond the node, and for the rules that allow them.
#[test]
fn the_rules_of_segments_say_what_kube_makes_of_them() {
    let links = [
        "{name: a, vlan: {parent: p, id: 1}}",
        "{name: a, vlan: {parent: p, parentLink: q, id: 1}}",
        "{name: a, vlan: {parentLink: a, id: 1}}",
        "{name: a, vlan: {parentLink: b, id: 1, mode: Shared}}",
        "{name: a, vlan: {parent: p, id: 1}, veth: {bridge: b}}",
    ];
    let ends = [
        "{addresses: [10.77.0.2, 10.77.0.3]}",
        "{addresses: ['fd77::2', '2001:DB8::2']}",
        "{addresses: ['fd77::2', 10.77.0.2]}",
        "{addresses: [10.77.0.2, '::ffff:10.77.0.3']}",
        "{addresses: [169.254.0.1]}",
        "{addresses: ['fe80::1']}",
        "{addresses: ['ff05::1']}",
        "{addresses: [255.255.255.255]}",
        "{addresses: [10.77.0.2], group: 239.1.1.1}",
        "{group: 239.1.1.1}",
        "{group: 224.0.0.0}",
        "{group: 240.0.0.0}",
        "{group: 'ff05::100'}",
        "{group: 'fe80::1'}",
        "{auto: {}}",
        "{auto: {}, group: 239.1.1.1}",
        "{}",
    ];
    let over_pod = "{name: a, vxlan: {underlayLink: u, vni: 7, peers: {auto: {}}}}";
    let tunnel = |end: &&str| format!("{{name: a, vxlan: {{underlay: u, vni: 7, peers: {end}}}}}");
    let links = links.map(ToOwned::to_owned).into_iter();
    let links = links
        .chain(ends.iter().map(tunnel))
        .chain([over_pod.to_owned()]);
    let rules = [
        "{vlan: {ids: [{min: 1, max: 2}]}}",
        "{vlan: {ids: [{min: 2, max: 1}]}}",
        "{vlan: {ids: []}}",
        "{vxlan: {vnis: [{min: 1, max: 2}], peers: [10.0.0.0/8]}}",
        "{vxlan: {vnis: [{min: 1, max: 2}], peers: [10.0.0.1/8]}}",
        "{vxlan: {vnis: [{min: 1, max: 2}], peers: []}}",
        "{vxlan: {vnis: [{min: 1, max: 2}]}}",
    ];
    let rules = rules.map(|rule| policy(&format!("{{namespaceSelector: {{}}, allow: [{rule}]}}")));
    agree(
        &crds::definition::of::<crds::PodConfig>(),
        &links
            .map(|link| super::links(&format!("[{link}]")))
            .collect::<Vec<_>>(),
    );
    agree(&crds::definition::of::<crds::PodConfigPolicy>(), &rules);
}

fn agree(crd: &CustomResourceDefinition, manifests: &[String]) {
    let crd = serde_json::to_value(crd).unwrap();
    let rules =
        kube::core::cel::compile_schema(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let mut verdicts = [0, 0];
    for yaml in manifests {
        let value: Value = serde_saphyr::from_str(yaml).unwrap();
        let theirs = kube::core::cel::validate_compiled(&rules, &value, None);
        let (ours, theirs) = (
            admit_yaml(yaml).map_err(|errors| errors.len()),
            theirs.map_err(|errors| errors.len()),
        );
        assert_eq!(ours.map(drop), theirs, "{yaml}");
        verdicts[usize::from(theirs.is_ok())] += 1;
    }
    assert!(verdicts.iter().all(|&count| count >= 2), "{verdicts:?}");
}

#[test]
fn the_full_size_is_admitted() {
    let addresses: Vec<String> = (1..=8).map(|n| format!("10.0.{n}.1/24")).collect();
    let routes: Vec<String> = (0..16)
        .map(|n| {
            format!("{{to: 172.{n}.0.0/16, via: 10.0.1.2, metric: 4294967295, table: 4294967295}}")
        })
        .collect();
    let all: Vec<String> = (0..32)
        .map(|n| format!("{{name: data{n}, veth: {{bridge: b{n}}}, mtu: 65535, addresses: [{}], routes: [{}]}}", addresses.join(", "), routes.join(", ")))
        .collect();
    let admitted = admit_yaml(&links(&format!("[{}]", all.join(", ")))).unwrap();
    let typed: crds::PodConfig = serde_json::from_value(admitted).unwrap();
    assert_eq!(
        (typed.spec.links.len(), typed.spec.links[31].routes.len()),
        (32, 16)
    );
}

/// As many tunnels, peers and rules as there may be: all of it is judged in a moment.
#[test]
fn the_full_size_of_segments_is_admitted() {
    let start = std::time::Instant::now();
    let peers: Vec<String> = (0..64)
        .map(|n| format!("'fd77:7777:7777:7777:7777:7777:7777:{n:04x}'"))
        .collect();
    let tunnels: Vec<String> = (0..32)
        .map(|n| format!("{{name: t{n}, vxlan: {{underlay: fifteen-letters, vni: 16777215, port: 65535, peers: {{addresses: [{}]}}}}}}", peers.join(", ")))
        .collect();
    let admitted = admit_yaml(&links(&format!("[{}]", tunnels.join(", ")))).unwrap();
    let typed: crds::PodConfig = serde_json::from_value(admitted).unwrap();
    let vxlan = typed.spec.links[31].vxlan.as_ref().unwrap();
    assert_eq!(vxlan.peers.addresses.as_ref().map(Vec::len), Some(64));

    let many = |item: String, count| vec![item; count].join(", ");
    let devices: Vec<String> = (0..64).map(|n| format!("fifteen-let-{n:03}")).collect();
    let devices = devices.join(", ");
    let networks = many("'fd77:7777:7777:7777:7777:7777:7777:7777/128'".into(), 16);
    let ranges = many("{min: 1, max: 4094}".into(), 16);
    let rule = format!("{{vlan: {{parents: [{devices}], portParents: [{devices}], ids: [{ranges}], modes: [Shared, Exclusive]}},
        vxlan: {{underlays: [{devices}], vnis: [{ranges}], ports: [{ranges}], peers: [{networks}], groups: [{networks}], modes: [Exclusive]}}}}");
    let rules = many(rule, 64);
    admit_yaml(&policy(&format!(
        "{{namespaceSelector: {{}}, allow: [{rules}]}}"
    )))
    .unwrap();
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn what_is_odd_but_right_is_admitted() {
    for link in [
        "{name: a, veth: {bridge: b}}",
        "{name: _a.b-c_9, veth: {hostBridge: br.10}}",
        "{name: fifteen-letters, veth: {routed: {}}}",
        "{name: a, veth: {bridge: b}, mtu: 68, addresses: [10.0.0.1/8]}",
        "{name: a, veth: {bridge: b}, mtu: 1280, addresses: ['fd99::10/64']}",
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.0/31, 10.0.0.1/32, 'fd99::/128', '2001:DB8::A/64']}",
        "{name: a, veth: {bridge: b}, mac: '02:00:00:00:00:00'}",
        "{name: a, veth: {bridge: b}, mac: 0A:58:0A:63:00:0A, slaac: Ignore}",
        "{name: a, veth: {bridge: b}, routes: [{to: 0.0.0.0/0}, {to: '::/0', via: 'fe80::1', metric: 0, table: 252}]}",
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.254/24, 10.0.0.255/23, 10.0.2.255/32, 10.0.3.255/31, 'fd99::ffff/112'], routes: [{to: 172.20.0.0/16, via: 10.0.1.9}]}",
        "{name: a, veth: {bridge: b}, ipam: {ranges: [{cidr: 10.0.0.0/24}, {cidr: 'fd99::/64'}]}, routes: [{to: 0.0.0.0/0, via: 10.0.0.1}, {to: '::/0', via: 'fd99::1'}]}",
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.1/32], routes: [{to: 10.9.0.1/32}, {to: 0.0.0.0/0, via: 10.9.0.1}]}",
        "{name: a, veth: {bridge: b}, addresses: [10.0.0.1/24], slaac: Accept, routes: [{to: '::/0', via: 'fd99::1'}, {to: 172.20.0.0/16, via: 169.254.1.1}]}",
        "{name: a, veth: {bridge: b}, addresses: ['fd99::1/64'], routes: [{to: 172.20.0.0/16, via: 10.0.0.1}]}",
        "{name: a, veth: {routed: {}}, addresses: [10.0.0.1/24], routes: [{to: 0.0.0.0/0, via: 169.254.1.1}, {to: '::/0', via: 'fe80::1'}]}",
        "{name: a, vlan: {parent: ens1f1.10_x-y, id: 1}}",
        "{name: a, vlan: {parent: fifteen-letters, id: 4094, mode: Shared}, mtu: 9000, mac: '02:00:00:00:00:01', slaac: Accept, addresses: [10.99.0.10/24], routes: [{to: 172.20.0.0/16}]}",
        "{name: a, vlan: {parent: a, id: 100, mode: Exclusive}}",
        "{name: data0.200, vlan: {parentLink: data0, id: 200}}",
        "{name: a, vlan: {parentLink: eth0, id: 200}}",
        "{name: a, vxlan: {underlay: u, vni: 1, peers: {addresses: [10.77.0.2]}}}",
        "{name: a, vxlan: {underlay: a, vni: 16777215, port: 1, mode: Exclusive, peers: {addresses: [10.77.0.2, 10.78.0.2]}}, mtu: 1400}",
        "{name: a, vxlan: {underlay: u, vni: 7, port: 65535, mode: Shared, peers: {addresses: ['FD77:0::2', 'fd77::2']}}}",
        "{name: a, vxlan: {underlay: u, vni: 7, peers: {group: 239.1.1.1}}}",
        "{name: a, vxlan: {underlay: u, vni: 7, peers: {group: 'ff05::100'}}}",
        "{name: a, vxlan: {underlayLink: eth0, vni: 7, port: 4789, peers: {addresses: [10.244.3.4]}}, addresses: [10.99.0.10/24]}",
    ] {
        let admitted = admit_yaml(&links(&format!("[{link}]")))
            .unwrap_or_else(|f| panic!("{link}: {:?}", messages(&f)));
        serde_json::from_value::<crds::PodConfig>(admitted).unwrap();
    }
}

#[test]
fn a_rule_with_every_word_about_segments_is_admitted_and_typed() {
    let rules = "[{vlan: {parents: [trunk0], portParents: [bond0], ids: [{min: 1, max: 4094}, {min: 7, max: 7}], modes: [Exclusive, Shared], sharing: AcrossNamespaces}},
        {vxlan: {underlays: [ens1f1], vnis: [{min: 1, max: 16777215}], ports: [{min: 1, max: 65535}], peers: [10.77.0.0/24, '::/0'], groups: [239.0.0.0/8, 'ff00::/8'], modes: [Shared], sharing: WithinNamespace, unfiltered: Denied}},
        {veth: {bridges: Own}, vlan: {ids: [{min: 1, max: 1}]}, vxlan: {vnis: [{min: 1, max: 1}], peers: [10.0.0.0/8]}}]";
    let admitted = admit_yaml(&policy(&format!(
        "{{namespaceSelector: {{}}, allow: {rules}}}"
    )))
    .unwrap();
    let typed: crds::PodConfigPolicy = serde_json::from_value(admitted).unwrap();
    let [vlan, vxlan, all] = &typed.spec.allow[..] else {
        panic!("three rules went in")
    };
    assert_eq!(vlan.vlan.as_ref().unwrap().port_parents, ["bond0"]);
    assert_eq!(vxlan.vxlan.as_ref().unwrap().groups.len(), 2);
    assert!(all.veth.is_some() && all.vlan.is_some() && all.vxlan.is_some());
}

#[test]
fn defaults_are_filled_in() {
    let admitted = admit_yaml(&policy("{namespaceSelector: {}}")).unwrap();
    assert_eq!(admitted["spec"]["allow"], json!([]));
}

#[test]
fn an_object_without_a_namespace_is_in_default() {
    for metadata in [
        "{name: a}",
        "{name: a, namespace: }",
        "{name: a, namespace: ''}",
    ] {
        let admitted = admit_yaml(&pod(metadata)).unwrap();
        assert_eq!(admitted["metadata"]["namespace"], "default");
    }
    let admitted = admit_yaml("{apiVersion: v1, kind: Namespace, metadata: {name: a}}").unwrap();
    assert!(admitted["metadata"].get("namespace").is_none());
}

#[test]
fn a_status_in_a_manifest_is_dropped() {
    let yaml = links("[{name: a, veth: {bridge: b}}]")
        .replace(", spec:", ", status: {conditions: nonsense}, spec:");
    assert!(admit_yaml(&yaml).unwrap().get("status").is_none());
}

#[test]
fn what_kubectl_prints_of_an_object_is_admitted_again() {
    let metadata = "{name: a, namespace: b, uid: 0d4f2a6e, generation: 3, resourceVersion: '17', creationTimestamp: null,
        annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', Example.com/Note: ''},
        labels: {app.kubernetes.io/name: cnf, empty: ''}, finalizers: [],
        ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: x, uid: z, controller: true}]}";
    admit_yaml(&pod(metadata)).unwrap();
}

#[test]
fn a_pod_may_have_anything_in_its_spec() {
    let yaml = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{whatever: 1e3}]}, status: {phase: Running}}";
    assert_eq!(admit_yaml(yaml).unwrap()["status"]["phase"], "Running");
}

#[test]
fn no_other_kind_has_a_schema() {
    for kind in ["", "pod", "Secret", "PodReport", "podconfig", "PodConfig "] {
        assert!(Schema::for_kind(kind).is_none(), "{kind:?}");
    }
}

#[test]
fn a_schema_word_that_nobody_checks_is_refused() {
    let mut crd = crds::definition::of::<crds::PodConfig>();
    let schema = crd.spec.versions[0]
        .schema
        .as_mut()
        .unwrap()
        .open_api_v3_schema
        .as_mut()
        .unwrap();
    schema.any_of = Some(Vec::new());
    assert!(format!("{:#}", Schema::of(&crd).err().unwrap()).contains("anyOf"));
}

/// `cargo test --release -p reconfd --lib what_the_schema_costs -- --ignored --nocapture` prints the cost.
#[test]
#[ignore = "a measurement, not a test"]
fn what_the_schema_costs() {
    let memory = || {
        fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with("VmRSS"))
            .unwrap()
            .to_owned()
    };
    let before = memory();
    let start = std::time::Instant::now();
    Schema::for_kind("PodConfig").unwrap();
    println!(
        "compiled in {:?}; {before} before, {} after",
        start.elapsed(),
        memory()
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/samples");
    for sample in [
        "podconfig-veth-bridge",
        "podconfig-veth-host-bridge",
        "podconfigpolicy",
        "pod",
    ] {
        let text = fs::read_to_string(folder.join(sample).with_extension("yaml")).unwrap();
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let schema = Schema::for_kind(value["kind"].as_str().unwrap()).unwrap();
        let time = |work: &dyn Fn()| {
            (0..20)
                .map(|_| {
                    let start = std::time::Instant::now();
                    (0..100).for_each(|_| work());
                    start.elapsed() / 100
                })
                .min()
                .unwrap()
        };
        let parse = time(&|| drop(serde_saphyr::from_str::<Value>(&text).unwrap()));
        let copy = time(&|| drop(value.clone()));
        let admit = time(&|| drop(schema.admit(value.clone()).unwrap()));
        println!("{sample}: admit {:?}, YAML {parse:?}", admit - copy);
    }
    println!("{} in the end", memory());
}
