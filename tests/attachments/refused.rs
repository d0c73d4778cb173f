use super::*;

/// A pod whose link is made by a plugin that is this script.
fn made_by(script: &str, check: impl FnOnce(&TestNode, &crate::support::pod::TestPod<'_>)) {
    let node = TestNode::new();
    let opened = open(&node);
    opened.runner.fake("bad", script);
    define(&node, "fast", r#"{"cniVersion": "1.0.0", "type": "bad"}"#);
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    check(&node, &pod);
    drop(opened.daemon);
}

const LINKED: &str = "cat >/dev/null
case $CNI_COMMAND in
ADD) nsenter --net=$CNI_NETNS ip link add $CNI_IFNAME type bridge;;
DEL) nsenter --net=$CNI_NETNS ip link delete $CNI_IFNAME; exit 0;;
esac";

fn result(ips: &str, routes: &str) -> String {
    format!(
        r#"echo '{{"cniVersion":"1.0.0","interfaces":[{{"name":"net1","sandbox":"/run/netns/x"}}],"ips":[{ips}],"routes":[{routes}]}}'"#
    )
}

#[test]
fn a_result_outside_of_the_rule_is_undone() {
    let script = format!("{LINKED}\n{}", result(r#"{"address":"10.96.0.1/16"}"#, ""));
    made_by(&script, |node, pod| {
        pod.says("net1", "NotAllowed", "10.96.0.1");
        pod.lacks("net1");
        is_clean(node);
    });
}

/// The plugin gives the link an address that its result does not have.
#[test]
fn an_address_that_the_result_conceals_is_seen_in_the_kernel() {
    let script = format!(
        "{LINKED}\n[ $CNI_COMMAND != ADD ] || nsenter --net=$CNI_NETNS ip address add 10.96.0.1/16 dev $CNI_IFNAME\n{}",
        result("", "")
    );
    made_by(&script, |node, pod| {
        pod.reason("net1", "NotAllowed");
        pod.lacks("net1");
        is_clean(node);
    });
}

#[test]
fn success_without_an_interface_is_no_success() {
    made_by(
        &format!("cat >/dev/null\n{}", result("", "")),
        |node, pod| {
            pod.says("net1", "ResultInvalid", "no interface");
            is_clean(node);
        },
    );
}

#[test]
fn a_plugins_error_is_in_the_report_without_escapes() {
    let script = r#"cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0
printf '{"code": 7, "msg": "no \\u001b[31mroom"}'; exit 1"#;
    made_by(script, |_, pod| {
        let report = pod.reason("net1", "PluginFailed");
        let message = report["message"].as_str().unwrap();
        assert!(
            message.contains("ADD of bad failed (code 7): no "),
            "{message}"
        );
        assert!(!message.contains('\u{1b}'), "{message:?}");
    });
}

/// DEL of a failed ADD would delete a link of that name that is the pod's own.
#[test]
fn a_name_that_the_pod_has_is_left_alone() {
    let node = TestNode::new();
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    pod.run(&["ip", "link", "add", "net1", "type", "bridge"]);
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.reason("net1", "ForeignLink");
    assert_eq!(pod.find("net1").unwrap()["linkinfo"]["info_kind"], "bridge");
    is_clean(&node);
}

/// A network of the cluster, whatever the definition says.
#[test]
fn an_address_in_a_network_of_the_node_is_undone() {
    let node = TestNode::new();
    node.shell("ip link add lan0 type bridge && ip address add 10.77.5.1/24 dev lan0 && ip link set lan0 up");
    let _opened = open(&node);
    define(&node, "fast", &macvlan("10.77.5.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.says("net1", "NetworkReserved", "10.77.5.");
    pod.lacks("net1");
    is_clean(&node);
}

#[test]
fn a_node_without_a_runner_says_so() {
    let node = TestNode::builder().daemon().start();
    node.apply("policy", &policy("telco", "{}", &format!("[{RULE}]")));
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.reason("net1", "PluginNotFound");
}

const OWN: &str = "{cni: {plugins: [{type: macvlan, keys: {master: [up0]}}, {type: host-local}]}, addresses: [10.77.0.0/16]}";

/// The plugin of the pod's first network, and a network of its name.
#[test]
fn what_the_nodes_own_configuration_names_is_run_for_trusted_definitions_alone() {
    let node = TestNode::new();
    let _opened = open(&node);
    let folder = crate::support::runner::CONF_DIR;
    node.apply("own", &policy("own", "{}", &format!("[{OWN}]")));
    define(&node, "fast", &macvlan("10.77.0.0/24"));
    let own = |name: &str| {
        let mut network: Value = serde_json::from_str(&macvlan("10.77.5.0/24")).unwrap();
        network["name"] = name.into();
        let object = format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: own, namespace: tenant-a}}\nspec:\n  config: |\n    {network}\n"
        );
        node.apply("definition-own", &object);
    };
    let link = |definition: &str| LINK.replace("networks/fast", definition);
    let chain = |text: &str| {
        node.shell(&format!(
            "mkdir -p {folder} && printf '%s' '{text}' >{folder}/10-own.conflist"
        ))
    };
    let pod = node.bare_pod("tenant-a", "web");
    chain(
        r#"{"name": "cluster-net", "plugins": [{"type": "macvlan", "ipam": {"type": "host-local"}}]}"#,
    );
    own("mine");
    node.apply(
        "web",
        &config("tenant-a", "web", "web", &link("tenant-a/own")),
    );
    pod.says("net1", "NotAllowed", "type macvlan is in the node's own");
    assert_eq!(pod.find("net1"), None);
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.ready("net1");
    node.withdraw("web");
    pod.lacks("net1");
    is_clean(&node);
    // The types of its IPAM are not the chain's.
    chain(
        r#"{"name": "cluster-net", "plugins": [{"type": "ptp", "ipam": {"type": "host-local"}}]}"#,
    );
    node.apply(
        "web",
        &config("tenant-a", "web", "web", &link("tenant-a/own")),
    );
    pod.ready("net1");
    own("cluster-net");
    pod.says(
        "net1",
        "NotAllowed",
        "cluster-net is a network of the node's own",
    );
    pod.lacks("net1");
    is_clean(&node);
}
