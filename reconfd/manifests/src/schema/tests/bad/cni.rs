use super::*;

fn cni(cni: &str) -> String {
    link(&format!("{{name: x, cni: {cni}}}"))
}

/// A reference with other members of the link.
fn beside(more: &str) -> String {
    link(&format!(
        "{{name: x, cni: {{networkAttachmentDefinition: fast}}, {more}}}"
    ))
}

fn rule(rule: &str) -> String {
    policy(&format!(
        "{{namespaceSelector: {{}}, allow: [{{cni: {rule}}}]}}"
    ))
}

const ONE_SOURCE: &str = "spec.links[0].cni: a cni link has exactly one configuration: networkAttachmentDefinition or config";
const UP_TO_PLUGINS: &str = "spec.links[0]: mtu, ipam, routes and slaac of a cni link are up to its plugins; write them in the network configuration";

const LINKS: &[Case] = &[
    (cni, "{}", &[ONE_SOURCE]),
    (
        cni,
        "{networkAttachmentDefinition: fast, config: '{}'}",
        &[ONE_SOURCE],
    ),
    (
        cni,
        "{networkAttachmentDefinition: a/b/c}",
        &[
            r#"spec.links[0].cni.networkAttachmentDefinition: "a/b/c": write the definition as name or namespace/name, such as networks/fast"#,
        ],
    ),
    (
        cni,
        "{networkAttachmentDefinition: ../fast}",
        &[
            r#"spec.links[0].cni.networkAttachmentDefinition: "../fast": write the definition as name or namespace/name, such as networks/fast"#,
        ],
    ),
    // Attack: another pod's name for plugins that read CNI_ARGS.
    (
        cni,
        "{networkAttachmentDefinition: fast, args: {'a;K8S_POD_NAMESPACE': kube-system}}",
        &["spec.links[0].cni.args: a key has 1 to 63 letters, digits, '.', '_' and '-'"],
    ),
    (
        cni,
        "{networkAttachmentDefinition: fast, portMappings: [{hostPort: 0, containerPort: 80}]}",
        &["spec.links[0].cni.portMappings[0].hostPort: 0 is less than 1"],
    ),
    (
        cni,
        "{networkAttachmentDefinition: fast, bandwidth: {ingressRate: 1000}}",
        &["spec.links[0].cni.bandwidth: a rate needs its burst, and a burst its rate"],
    ),
    (beside, "mtu: 1400", &[UP_TO_PLUGINS]),
    (
        beside,
        "ipam: {ranges: [{cidr: 10.99.0.0/24}]}",
        &[UP_TO_PLUGINS],
    ),
    (beside, "routes: [{to: 0.0.0.0/0}]", &[UP_TO_PLUGINS]),
];

const RULES: &[Case] = &[
    (
        rule,
        "{}",
        &[
            "spec.allow[0].cni: a cni rule without definitions and plugins allows nothing; add definitions, or plugins for configurations that tenants write",
        ],
    ),
    (
        rule,
        "{inline: Allowed, definitions: [{namespace: networks, names: [fast]}]}",
        &[
            "spec.allow[0].cni: inline: Allowed needs plugins, which say what an inline configuration may name",
        ],
    ),
    (
        rule,
        "{plugins: [{type: ../bridge}]}",
        &[
            r#"spec.allow[0].cni.plugins[0].type: "../bridge": write the file name of a plugin, such as macvlan"#,
        ],
    ),
];

#[test]
fn a_cni_link_has_one_configuration_and_nothing_that_is_up_to_its_plugins() {
    all_refused(LINKS);
}

#[test]
fn a_cni_rule_allows_something_and_names_plugins_by_their_files() {
    all_refused(RULES);
}
