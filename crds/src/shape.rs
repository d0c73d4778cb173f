//! Schemas that the derive cannot express: bounds, list kinds and CEL rules. The rules use only functions that an API
//! server from 1.31 and the offline validation evaluate identically.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// What an interface may be called, on the node and in a pod, and none of the bytes that the kernel,
/// a path or a shell would take for something else.
const INTERFACE: (&str, &str) = (
    "self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]*$')",
    "an interface name has only letters, digits, '.', '_' and '-', and starts with none of '.' and '-'",
);

/// What a key of `args.cni` may be.
const CNI_ARG: (&str, &str) = (
    "self.matches('^[A-Za-z0-9_.-]{1,63}$')",
    "a key has 1 to 63 letters, digits, '.', '_' and '-'",
);

/// CEL rules with the message of each, as `x-kubernetes-validations` wants them.
pub(crate) fn rules(rules: &[(&str, &str)]) -> Value {
    rules
        .iter()
        .map(|(rule, message)| json!({"rule": rule, "message": message}))
        .collect()
}

/// The name of a link.
pub(crate) fn link_name(_: &mut SchemaGenerator) -> Schema {
    let reserved = (
        "!(self in ['lo', 'eth0', 'all', 'default'])",
        "lo, eth0, all and default are never podconfig's; give the link another name",
    );
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 15,
        "x-kubernetes-validations": rules(&[INTERFACE, reserved]),
    })
}

/// The name of an interface of the node.
pub(crate) fn node_interface(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 15,
        "x-kubernetes-validations": rules(&[INTERFACE]),
    })
}

/// Names of interfaces of the node, at most 64.
pub(crate) fn node_interfaces(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "items": node_interface(generator)})
}

/// The name of a tenant's bridge: hashed on the node, so a label and no interface name.
pub(crate) fn bridge_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 63,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
            "a bridge name has only lower-case letters, digits and '-', and starts and ends with no '-'",
        )]),
    })
}

/// A gateway's address. Link-local is right here: `fe80::1` is what routers call themselves.
pub(crate) fn gateway(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 39,
        "x-kubernetes-validations": rules(&[
            ("isIP(self)", "write one IP address with no prefix length, such as 10.99.0.1 or fd99::1"),
            (
                "!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLinkLocalUnicast()",
                "a gateway is one neighbour: no loopback, multicast, broadcast or unspecified address",
            ),
        ]),
    })
}

/// The first or last address of a range.
pub(crate) fn range_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 39,
        "x-kubernetes-validations": rules(&[
            ("isIP(self)", "write one IP address with no prefix length, such as 10.99.0.10 or fd99::10"),
        ]),
    })
}

/// The network of a range.
pub(crate) fn range_network(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 43,
        "x-kubernetes-validations": rules(&[
            (
                "isCIDR(self) && !self.matches('(^|[./])0[0-9]+([./]|$)') && cidr(self) == cidr(self).masked()",
                "write a network with no host bits, such as 10.99.0.0/16 or fd00:1::/32",
            ),
            (
                "!isCIDR(self) || cidr(self).ip().isGlobalUnicast() \
                 && !cidr(self).containsCIDR('169.254.0.0/16') && !cidr(self).containsCIDR('fe80::/10')",
                "addresses are not given out of loopback, link-local, multicast or unspecified networks",
            ),
            (
                "!isCIDR(self) || cidr(self).prefixLength() >= 8",
                "the prefix length is less than 8; write that of the network that the link is in",
            ),
            (
                "!isCIDR(self) || cidr(self).prefixLength() <= (self.contains(':') ? 127 : 31)",
                "this is one address and no range; write it under addresses",
            ),
        ]),
    })
}

/// A routing domain.
pub(crate) fn domain(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 63,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
            "a domain has only lower-case letters, digits and '-', and starts and ends with no '-'",
        )]),
    })
}

/// Routing domains, at most 16.
pub(crate) fn domains(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "items": domain(generator), "x-kubernetes-list-type": "set"})
}

/// A claimed address: there must be one spelling alone, or there would be two claims to it.
pub(crate) fn claimed_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 39,
        "x-kubernetes-validations": rules(&[
            (
                "isIP(self) && ip.isCanonical(self)",
                "write one IP address as short as it can be, such as 10.99.0.10 or fd99::10",
            ),
        ]),
    })
}

/// The address of one other end of a tunnel.
pub(crate) fn peer_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 39,
        "x-kubernetes-validations": rules(&[
            ("isIP(self)", "write one IP address with no prefix length, such as 10.77.0.2 or fd77::2"),
            (
                "!isIP(self) || ip(self).isGlobalUnicast()",
                "a peer is one other node: no loopback, link-local, multicast, broadcast or unspecified address",
            ),
        ]),
    })
}

/// Addresses of the other ends of a tunnel.
pub(crate) fn peer_addresses(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 64, "items": peer_address(generator), "x-kubernetes-list-type": "set",
        "x-kubernetes-validations": rules(&[(
            "self.all(peer, peer.contains(':') == self[0].contains(':'))",
            "the peers of one tunnel are of one family: all IPv4 or all IPv6",
        )]),
    })
}

/// A reference to a NetworkAttachmentDefinition.
pub(crate) fn definition_reference(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 127,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
            "write the definition as name or namespace/name, such as networks/fast",
        )]),
    })
}

/// A DNS label.
pub(crate) fn dns_label(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 63,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
            "a namespace has only lower-case letters, digits and '-', and starts and ends with no '-'",
        )]),
    })
}

/// Names of NetworkAttachmentDefinitions. An API server estimates the cost of a rule for all policies, rules and names
/// that a definition permits, and refuses the definition beyond its limit: a longer expression is refused. A name that
/// begins or ends otherwise is one that no object has.
pub(crate) fn definition_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 64, "x-kubernetes-list-type": "set",
        "items": {
            "type": "string", "minLength": 1, "maxLength": 63,
            "x-kubernetes-validations": rules(&[(
                "self.matches('^[-a-z0-9.]+$')",
                "write the name of a NetworkAttachmentDefinition, such as fast",
            )]),
        },
    })
}

/// The type of a CNI plugin: a plain file name.
pub(crate) fn plugin_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 63,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*$')",
            "write the file name of a plugin, such as macvlan",
        )]),
    })
}

/// Settings of a plugin, each with its allowed values.
pub(crate) fn plugin_keys(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 16,
        "additionalProperties": {
            "type": "array", "minItems": 1, "maxItems": 64,
            "items": {"type": "string", "maxLength": 253},
        },
    })
}

/// Keys of `args.cni`. The characters that separate pairs of `CNI_ARGS` are in none.
pub(crate) fn cni_arg_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 16, "x-kubernetes-list-type": "set",
        "items": {
            "type": "string", "minLength": 1, "maxLength": 63,
            "x-kubernetes-validations": rules(&[CNI_ARG]),
        },
    })
}

/// Values of `args.cni`.
pub(crate) fn cni_args(_: &mut SchemaGenerator) -> Schema {
    let (rule, message) = (
        format!("self.all(key, {})", CNI_ARG.0.replace("self", "key")),
        CNI_ARG.1,
    );
    json_schema!({
        "type": "object", "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 253},
        "x-kubernetes-validations": rules(&[(&rule, message)]),
    })
}

/// An address of the node.
pub(crate) fn host_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 39,
        "x-kubernetes-validations": rules(&[
            ("isIP(self)", "write one IP address with no prefix length, such as 192.0.2.10"),
        ]),
    })
}

/// A multicast group.
pub(crate) fn multicast_group(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 39,
        "x-kubernetes-validations": rules(&[
            ("isIP(self)", "write one multicast address, such as 239.1.1.1 or ff05::100"),
            (
                "!isIP(self) || cidr('224.0.0.0/4').containsIP(ip(self)) || cidr('ff00::/8').containsIP(ip(self))",
                "a group is a multicast address: 224.0.0.0/4 or ff00::/8",
            ),
        ]),
    })
}

/// A label selector with bounds, and the one rule of selectors that a schema alone lets pass.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let value = json!({
        "type": "string", "maxLength": 63,
        "x-kubernetes-validations": rules(&[(
            "self.matches('^(([A-Za-z0-9][A-Za-z0-9_.-]*)?[A-Za-z0-9])?$')",
            "a label value has only letters, digits, '-', '_' and '.', and starts and ends with a letter or digit",
        )]),
    });
    let operator = json!({
        "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
        "description": "In and NotIn compare with the values; Exists and DoesNotExist ask for the key alone.",
    });
    let values = json!({
        "type": "array", "maxItems": 64, "items": value, "x-kubernetes-list-type": "atomic",
        "description": "At least one for In and NotIn, at most 64; none for Exists and DoesNotExist.",
    });
    let expression = json!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": {"type": "string", "minLength": 1, "maxLength": 317, "description": "The name of the label."},
            "operator": operator,
            "values": values,
        },
        "x-kubernetes-validations": rules(&[(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "In and NotIn need values; Exists and DoesNotExist take none",
        )]),
    });
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 32, "additionalProperties": value,
                "description": "Labels and the value that each must have. All must fit. At most 32.",
            },
            "matchExpressions": {
                "type": "array", "maxItems": 32, "items": expression, "x-kubernetes-list-type": "atomic",
                "description": "Further demands on labels. All must fit. At most 32.",
            },
        },
    })
}

/// Conditions as Kubernetes keeps them: one of each type.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 16, "items": condition(),
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
    })
}

/// A `metav1.Condition` in the words of Kubernetes. `k8s-openapi` has the schema too, but with those of all kinds,
/// which take long to compile.
fn condition() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": "Condition contains details for one aspect of the current state of this API Resource.",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {
                "type": "string", "format": "date-time",
                "description": "lastTransitionTime is the last time the condition transitioned from one status to another. This should be when the underlying condition changed.  If that is not known, then using the time when the API field changed is acceptable.",
            },
            "message": text("message is a human readable message indicating details about the transition. This may be an empty string."),
            "observedGeneration": {
                "type": "integer", "format": "int64",
                "description": "observedGeneration represents the .metadata.generation that the condition was set based upon. For instance, if .metadata.generation is currently 12, but the .status.conditions[x].observedGeneration is 9, the condition is out of date with respect to the current state of the instance.",
            },
            "reason": text("reason contains a programmatic identifier indicating the reason for the condition's last transition. Producers of specific condition types may define expected values and meanings for this field, and whether the values are considered a guaranteed API. The value should be a CamelCase string. This field may not be empty."),
            "status": text("status of the condition, one of True, False, Unknown."),
            "type": text("type of condition in CamelCase or in foo.example.com/CamelCase."),
        },
    })
}

/// A `metav1.Time`.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}
