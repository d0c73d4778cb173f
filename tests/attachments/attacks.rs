//! What a tenant tries with a configuration, a definition or arguments of its own: refused with the rule's words, and
//! nothing has changed on the node.

use super::*;
use crate::support::pod::TestPod;

/// What a policy gives the tenant.
const TENANT: &str = "{cni: {inline: Allowed, plugins: [{type: bridge, keys: {bridge: [ok0]}}, \
    {type: macvlan, keys: {master: [up0]}}, {type: host-device, keys: {device: [ok1]}}, {type: portmap}, \
    {type: tuning}, {type: firewall}, {type: ptp}, {type: host-local}, {type: static}, {type: dhcp}], \
    hostPorts: [{min: 30000, max: 30099}], cniArgs: [known]}, addresses: [10.77.0.0/16], routes: []}";
const PLUGINS: [&str; 10] = [
    "bridge",
    "macvlan",
    "host-device",
    "portmap",
    "tuning",
    "firewall",
    "ptp",
    "host-local",
    "static",
    "dhcp",
];

/// A tenant with a pod, on a node where some of all that it is after exists.
struct Tenant<'a> {
    pod: TestPod<'a>,
    before: String,
    _daemon: Daemon,
    _runner: TestRunner,
}

impl<'a> Tenant<'a> {
    fn on(node: &'a TestNode) -> Self {
        node.shell(
            "for link in up0 eth0 ok1; do ip link add $link type veth peer name $link-far; ip link set $link up; done
            ip link add cni0 type bridge && ip address add 10.99.0.1/24 dev cni0 && ip link set cni0 up
            ip link add ok0 type bridge && ip link set ok0 up",
        );
        let runner = node.runner(&PLUGINS, &["--plugin-timeout", "5"]);
        node.apply("policy", &policy("tenant", "{}", &format!("[{TENANT}]")));
        let daemon = node.daemon_with(&options());
        let pod = node.bare_pod("tenant-a", "web");
        Self {
            before: state(node),
            pod,
            _daemon: daemon,
            _runner: runner,
        }
    }

    /// A link of the tenant's PodConfig.
    fn asks(&self, link: &str) {
        let config = config("tenant-a", "web", "web", &format!("[{link}]"));
        self.pod.node.apply("web", &config);
    }

    fn is_told(&self, reason: &str, words: &str) {
        eventually(&format!("the report says {reason}: {words}"), || {
            let report = self.pod.reported("net1").unwrap_or_default();
            let message = report["message"].as_str().unwrap_or_default();
            seen(
                report["reason"] == reason && message.contains(words),
                report,
            )
        });
        self.nothing_changed();
    }

    fn nothing_changed(&self) {
        let node = self.pod.node;
        assert_eq!(state(node), self.before);
        assert_eq!(reservations(node) + &stored(node), "");
        assert_eq!(self.pod.find("net1"), None);
    }

    /// Each inline configuration is refused for that reason with these words.
    fn is_refused(&self, reason: &str, attempts: &[(&str, &str)]) {
        for (configuration, words) in attempts {
            self.asks(&inline(configuration, ""));
            self.is_told(reason, words);
        }
    }
}

fn inline(configuration: &str, more: &str) -> String {
    let text = configuration.replace('\'', "''");
    format!("{{name: net1, cni: {{config: '{text}'{more}}}}}")
}

/// A configuration of one plugin, without its beginning.
fn plugin(rest: &str) -> String {
    format!(r#"{{"cniVersion": "1.0.0", "type": {rest}}}"#)
}

/// Links, addresses and rules of the node.
fn state(node: &TestNode) -> String {
    node.shell(
        "ip -o link | cut -d: -f2 | sort; ip -o address show scope global | cut -d' ' -f2-7 | sort
        iptables-save | grep '^-A' | grep -v CNI- || true; ls /etc/cron.d 2>/dev/null || true",
    )
}

fn define_own(node: &TestNode, name: &str, configuration: &str) {
    let object = format!(
        "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}, namespace: tenant-a}}\nspec:\n  config: |\n    {configuration}\n"
    );
    node.apply(&format!("own-{name}"), &object);
}

const OWN_BRIDGE: &str =
    r#""bridge", "bridge": "ok0", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24"}"#;

/// The attacks below fail for what they are, and not for how they are asked.
#[test]
fn what_the_policy_gives_is_made() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    tenant.asks(&inline(&plugin(OWN_BRIDGE), ""));
    tenant.pod.ready("net1");
    node.withdraw("web");
    tenant.pod.lacks("net1");
    is_clean(&node);
    eventually("the node is as before", || {
        seen(state(&node) == tenant.before, state(&node))
    });
}

/// Row 1.
#[test]
fn a_device_of_the_node_is_not_taken() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    for key in ["device", "hwaddr", "pciBusID", "kernelpath"] {
        let attempt = plugin(&format!(r#""host-device", "{key}": "eth0""#));
        tenant.is_refused(
            "NotAllowed",
            &[(
                &attempt,
                &format!("{key}: a rule for host-device must list"),
            )],
        );
    }
}

/// Rows 2 and 3.
#[test]
fn a_bridge_of_the_node_is_not_used_and_no_gateway_is_made() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    let on = |rest: &str| plugin(&format!(r#""bridge", {rest}"#));
    tenant.is_refused(
        "NotAllowed",
        &[
            (
                &on(r#""bridge": "cni0", "isGateway": true, "forceAddress": true"#),
                "bridge: a rule for bridge must list \"cni0\"",
            ),
            (&on(r#""isGateway": true"#), "bridge: must be said"),
            (
                &on(r#""bridge": "ok0", "isGateway": true"#),
                "isGateway: a rule",
            ),
            (&on(r#""bridge": "ok0", "ipMasq": true"#), "ipMasq: a rule"),
            (
                &on(r#""bridge": "ok0", "promiscMode": true"#),
                "promiscMode: a rule",
            ),
            (&on(r#""bridge": "ok0", "vlan": 7"#), "vlan: a rule"),
        ],
    );
}

/// Row 4.
#[test]
fn a_parent_of_the_node_is_not_used() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    tenant.is_refused(
        "NotAllowed",
        &[
            (
                &plugin(r#""macvlan", "master": "eth0""#),
                "master: a rule for macvlan must list \"eth0\"",
            ),
            (&plugin(r#""macvlan""#), "master: must be said"),
            (
                &plugin(r#""macvlan", "master": "up0", "mode": "passthru""#),
                "mode: a rule",
            ),
        ],
    );
}

/// Rows 5 to 8.
#[test]
fn a_plugin_that_executes_others_is_never_a_tenants() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    tenant.is_refused(
        "NotAllowed",
        &[
            (
                &plugin(r#""multus", "binDir": "/tmp""#),
                "multus is never a tenant's",
            ),
            (
                &plugin(r#""podconfig-cni""#),
                "podconfig-cni is never a tenant's",
            ),
            (
                &plugin(r#""calico""#),
                "only possible in a trusted definition",
            ),
            (
                &plugin(r#""macvlan", "master": "up0", "delegate": {"type": "bridge"}"#),
                "no such key",
            ),
            (
                &plugin(r#""macvlan", "master": "up0", "ipam": {"type": "multus"}"#),
                "multus is never a tenant's",
            ),
        ],
    );
    for attempt in [
        r#""../../tmp/evil""#,
        r#""macvlan", "master": "up0", "ipam": {"type": "../evil"}"#,
    ] {
        tenant.is_refused("DefinitionInvalid", &[(&plugin(attempt), "type")]);
    }
}

/// Rows 9, 10 and 26.
#[test]
fn a_configuration_that_plugins_read_otherwise_is_refused() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    let deep = format!(r#""macvlan", "x": {}1{}"#, "[".repeat(40), "]".repeat(40));
    let up0 = |more: &str| plugin(&format!(r#""macvlan", "master": "up0", {more}"#));
    for attempt in [
        up0(r#""MASTER": "eth0""#),
        up0(r#""maſter": "eth0""#),
        up0(r#""master": "eth0""#),
        up0(r#""ipam": {"type": "static", "Type": "host-local"}"#),
        up0(r#""prevResult": {"cniVersion": "1.0.0"}"#),
        up0(r#""runtimeConfig": {"portMappings": []}"#),
        up0(r#""args": {"cni": {}}"#),
        up0(r#""cni.dev/valid-attachments": []"#),
        up0(r#""mtu": 18446744073709551616"#),
        plugin(&deep),
        "[null]".to_owned(),
    ] {
        tenant.asks(&inline(&attempt, ""));
        tenant.is_told("DefinitionInvalid", "");
    }
}

/// Row 11.
#[test]
fn a_port_of_the_node_that_no_rule_lists_is_not_led_away() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    for port in ["22", "6443", "10250"] {
        let more = format!(", portMappings: [{{hostPort: {port}, containerPort: 80}}]");
        tenant.asks(&inline(&plugin(OWN_BRIDGE), &more));
        tenant.is_told("NotAllowed", &format!("hostPort {port}"));
    }
}

const MAPPED: &str = r#"{"cniVersion": "1.0.0", "plugins": [{"type": "bridge", "bridge": "ok0", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24"}}, {"type": "portmap", "capabilities": {"portMappings": true}}]}"#;
const MAPPING: &str = ", portMappings: [{hostPort: 30080, containerPort: 80}]";

/// Row 11: rule 7.
#[test]
fn a_port_on_which_a_program_listens_is_not_led_away() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    let listener = node.in_net(|| std::net::TcpListener::bind("0.0.0.0:30080").unwrap());
    tenant.asks(&inline(MAPPED, MAPPING));
    tenant.is_told(
        "NotAllowed",
        "hostPort 30080/tcp has a program of the node that listens on it",
    );
    drop(listener);
    tenant.pod.ready("net1");
}

/// Row 11: rule 7.
#[test]
fn a_port_that_leads_to_another_pod_is_not_led_away() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    tenant.asks(&inline(MAPPED, MAPPING));
    tenant.pod.ready("net1");
    let rules = || node.shell("iptables-save | grep -c 'dport 30080' || true");
    let before = rules();
    let other = node.bare_pod("tenant-b", "other");
    let links = format!("[{}]", inline(MAPPED, MAPPING));
    node.apply("other", &config("tenant-b", "other", "other", &links));
    other.says(
        "net1",
        "NotAllowed",
        "hostPort 30080/tcp leads to another pod",
    );
    assert_eq!(rules(), before);
    node.withdraw("web");
    other.ready("net1");
}

/// Rows 12 to 16: words in rules, files, sockets, settings.
#[test]
fn files_sockets_and_rules_of_the_node_are_never_a_tenants() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    let ipam = |ipam: &str| {
        plugin(&format!(
            r#""bridge", "bridge": "ok0", "ipam": {{"type": {ipam}}}"#
        ))
    };
    tenant.is_refused(
        "NotAllowed",
        &[
            (
                &plugin(r#""portmap", "conditionsV4": ["-j", "ACCEPT"]"#),
                "conditionsV4: is never a tenant's",
            ),
            (
                &plugin(r#""portmap", "externalSetMarkChain": "INPUT""#),
                "externalSetMarkChain: is never a tenant's",
            ),
            (
                &plugin(r#""firewall", "iptablesAdminChainName": "INPUT""#),
                "iptablesAdminChainName: is never a tenant's",
            ),
            (
                &plugin(r#""tuning", "dataDir": "/etc""#),
                "dataDir: is never a tenant's",
            ),
            (
                &ipam(r#""host-local", "dataDir": "/etc/cron.d""#),
                "dataDir: is never a tenant's",
            ),
            (
                &ipam(r#""host-local", "resolvConf": "/etc/shadow""#),
                "resolvConf: is never a tenant's",
            ),
            (
                &ipam(r#""dhcp", "daemonSocketPath": "/run/containerd/containerd.sock""#),
                "daemonSocketPath: is never a tenant's",
            ),
            (
                &plugin(r#""tuning", "sysctl": {"net.ipv4.ip_forward": "1"}"#),
                "sysctl",
            ),
        ],
    );
}

/// Row 16: arguments reach the plugins of a trusted definition too.
#[test]
fn arguments_that_no_rule_lists_are_refused() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    for key in ["sysctl", "mac", "promisc", "mtu"] {
        tenant.asks(&inline(
            &plugin(OWN_BRIDGE),
            &format!(", args: {{{key}: x}}"),
        ));
        tenant.is_told("NotAllowed", &format!("cni.args \"{key}\""));
    }
}

/// Rows 17, 19 and 22: what a link asks for beside its configuration.
#[test]
fn addresses_and_macs_of_others_are_refused() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    let asked = |more: &str| {
        inline(&plugin(OWN_BRIDGE), "").replacen("net1,", &format!("net1, {more},"), 1)
    };
    tenant.asks(&asked("addresses: [10.96.0.1/16]"));
    tenant.is_told("NotAllowed", "10.96.0.1");
    tenant.asks(&asked("mac: '02:00:00:00:00:01'"));
    tenant.is_told("NotAllowed", "mac");
    node.withdraw("web");
    tenant.asks(&asked(
        "addresses: ['10.77.0.9/24;K8S_POD_NAMESPACE=kube-system']",
    ));
    eventually("the manifest is refused", || {
        let refused = node.refused();
        seen(refused.contains("K8S_POD_NAMESPACE"), refused)
    });
    tenant.nothing_changed();
}

/// Row 20.
#[test]
fn the_name_of_anothers_network_is_refused() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    let more = "{cni: {definitions: [{namespace: networks, names: [fast, plain]}]}, addresses: [10.77.0.0/16]}";
    node.apply(
        "trusting",
        &policy(
            "trusting",
            "{matchLabels: {never: x}}",
            &format!("[{more}]"),
        ),
    );
    define(
        &node,
        "fast",
        &plugin(&format!("{OWN_BRIDGE}, \"name\": \"quick\"")),
    );
    define(&node, "plain", &plugin(OWN_BRIDGE));
    let cluster = node.shell(
        "grep -rhoE '\"network\": *\"[^\"]+\"' /run/podconfig/records | head -1 | cut -d'\"' -f4",
    );
    for (name, words) in [
        ("quick", "a definition that a policy trusts"),
        ("plain", "a definition that a policy trusts"),
        (
            cluster.trim(),
            "a network of the node or of an administrator",
        ),
    ] {
        define_own(
            &node,
            "mine",
            &plugin(&format!("{OWN_BRIDGE}, \"name\": \"{name}\"")),
        );
        tenant.asks("{name: net1, cni: {networkAttachmentDefinition: mine}}");
        tenant.is_told("NotAllowed", words);
    }
    define_own(
        &node,
        "mine",
        &plugin(&format!("{OWN_BRIDGE}, \"name\": \"mine\"")),
    );
    tenant.pod.ready("net1");
}

/// Row 21.
#[test]
fn a_definition_of_another_namespace_is_refused() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    define(&node, "fast", &plugin(OWN_BRIDGE));
    tenant.asks("{name: net1, cni: {networkAttachmentDefinition: networks/fast}}");
    tenant.is_told("NotAllowed", "networks/fast");
}

/// Row 5, own definition: judged as an inline configuration is.
#[test]
fn a_definition_of_the_tenants_is_judged_key_by_key() {
    let node = TestNode::new();
    let tenant = Tenant::on(&node);
    define_own(&node, "mine", &plugin(r#""macvlan", "master": "eth0""#));
    tenant.asks("{name: net1, cni: {networkAttachmentDefinition: mine}}");
    tenant.is_told(
        "NotAllowed",
        "master: a rule for macvlan must list \"eth0\"",
    );
}
