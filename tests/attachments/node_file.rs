//! A definition without a configuration stands for a file of the node, as with Multus.

use super::*;
use crate::support::runner::MULTUS_CONF_DIR;

const EMPTY: &str = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: fast, namespace: NAMESPACE}\n";

/// A file of the node's administrator.
fn configure(node: &TestNode, file: &str, text: &str) {
    node.shell(&format!(
        "mkdir -p {MULTUS_CONF_DIR} && cat >{MULTUS_CONF_DIR}/{file} <<'END'\n{text}\nEND"
    ));
}

fn of_network(name: &str, subnet: &str) -> String {
    let plugin = macvlan(subnet);
    plugin.replacen('{', &format!("{{\"name\": \"{name}\", "), 1)
}

fn is_in(pod: &crate::support::pod::TestPod<'_>, network: &str) {
    eventually(&format!("net1 is in {network}"), || {
        let report = pod.reported("net1").unwrap_or_default();
        seen(address_of(&report).starts_with(network), report)
    });
}

#[test]
fn an_empty_definition_is_made_by_the_nodes_file_of_its_name() {
    let node = TestNode::new();
    let opened = open(&node);
    node.apply("definition", &EMPTY.replace("NAMESPACE", "networks"));
    let pod = node.bare_pod("tenant-a", "web");
    node.apply("web", &config("tenant-a", "web", "web", LINK));
    pod.says("net1", "DefinitionNotFound", "has the network name fast");
    configure(&node, "10-slow.conf", &of_network("slow", "10.77.9.0/24"));
    configure(&node, "20-fast.conf", &of_network("fast", "10.77.0.0/24"));
    is_in(&pod, "10.77.0.");
    pod.ready("net1");
    let before = pod.link("net1")["ifindex"].clone();
    // A daemon that starts has not read the file.
    opened.daemon.kill();
    let daemon = node.daemon_with(&options());
    pod.ready("net1");
    // What cannot be used takes nothing away.
    configure(&node, "00-torn.conf", "{");
    pod.says("net1", "DefinitionInvalid", "00-torn.conf");
    assert_eq!(pod.link("net1")["ifindex"], before);
    node.shell(&format!("rm {MULTUS_CONF_DIR}/00-torn.conf"));
    pod.ready("net1");
    assert_eq!(pod.link("net1")["ifindex"], before);
    // An edited file is followed as an edited definition is.
    configure(&node, "20-fast.conf", &of_network("fast", "10.77.1.0/24"));
    is_in(&pod, "10.77.1.");
    node.shell(&format!("rm -r {MULTUS_CONF_DIR}"));
    node.withdraw("web");
    pod.lacks("net1");
    is_clean(&node);
    drop(daemon);
}

/// The file is the administrator's: a tenant could learn what is in it from what is refused.
#[test]
fn an_empty_definition_of_a_tenant_is_no_file_of_the_node() {
    let node = TestNode::new();
    let _opened = open(&node);
    let plugins = "{cni: {plugins: [{type: macvlan, keys: {master: [up0]}}, {type: host-local}]}, addresses: [10.77.0.0/16]}";
    node.apply("policy", &policy("telco", "{}", &format!("[{plugins}]")));
    configure(&node, "10-fast.conf", &of_network("fast", "10.77.0.0/24"));
    node.apply("definition", &EMPTY.replace("NAMESPACE", "tenant-a"));
    let pod = node.bare_pod("tenant-a", "web");
    let link = LINK.replace("networks/fast", "fast");
    node.apply("web", &config("tenant-a", "web", "web", &link));
    pod.says(
        "net1",
        "NotAllowed",
        "only a definition that a policy trusts",
    );
    assert_eq!((pod.find("net1"), stored(&node)), (None, String::new()));
}
