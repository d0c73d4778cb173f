//! Chains as nobody would write them: what is not ours stays, byte by byte.

use super::*;

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,3}"
}

/// Any JSON text, oddly spaced and oddly spelled.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0".to_owned()),
        Just("1.0e+02".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        Just(r#""\ud83d\ude00 \/ \u00e9 é ] } , \" \\""#.to_owned()),
        Just(r#""podconfig-cni""#.to_owned()),
        "\"[a-z \\[\\]{},:]{0,8}\"",
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let spaced = (space(), inner, space())
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
            .boxed();
        prop_oneof![
            prop::collection::vec(spaced.clone(), 0..4)
                .prop_map(|parts| format!("[{}]", parts.join(","))),
            prop::collection::vec(spaced, 0..4).prop_map(|parts| {
                let parts: Vec<String> = parts
                    .iter()
                    .enumerate()
                    .map(|(n, part)| format!("\"k{n}\" \n:{part}"))
                    .collect();
                format!("{{{}}}", parts.join(","))
            }),
        ]
    })
}

/// The text of an object with the members given and some others, in any order.
fn object(fixed: Vec<(&'static str, BoxedStrategy<String>)>) -> impl Strategy<Value = String> {
    let fixed: Vec<_> = fixed
        .into_iter()
        .map(|(key, value)| value.prop_map(move |value| (key.to_owned(), value)))
        .collect();
    let more = prop::collection::vec(value(), 0..3);
    let members = (fixed, more).prop_map(|(mut members, more)| {
        members.extend(
            more.into_iter()
                .enumerate()
                .map(|(n, value)| (format!("x{n}\\t"), value)),
        );
        members
    });
    let spaces = prop::collection::vec(space(), 24);
    (members.prop_shuffle(), spaces).prop_map(|(members, spaces)| {
        let mut spaces = spaces.into_iter();
        let mut gap = || spaces.next().unwrap_or_default();
        let parts: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{}\"{key}\"{}:{}{value}{}", gap(), gap(), gap(), gap()))
            .collect();
        format!("{{{}}}", parts.join(","))
    })
}

fn plugin() -> impl Strategy<Value = String> {
    object(vec![("type", "\"(bridge|portmap|p\\\\u0061)\"".boxed())])
}

fn plugins() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((space(), plugin(), space()), 1..4).prop_map(|parts| {
        parts
            .into_iter()
            .map(|(before, plugin, after)| format!("{before}{plugin}{after}"))
            .collect()
    })
}

fn chain() -> impl Strategy<Value = (String, Vec<String>)> {
    plugins().prop_flat_map(|plugins| {
        let list = format!("[{}]", plugins.join(","));
        let members = vec![
            ("name", Just("\"n\\u0065t\"".to_owned()).boxed()),
            (
                "cniVersion",
                "\"(0\\.3\\.[01]|0\\.4\\.0|1\\.[01]\\.0)\"".boxed(),
            ),
            ("plugins", Just(list).boxed()),
        ];
        let text = (space(), object(members), space())
            .prop_map(|(before, text, after)| format!("{before}{text}{after}"));
        (text, Just(plugins))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chain_keeps_its_bytes_and_comes_back_whole((text, plugins) in chain()) {
        let node = Node::with("10-any.conflist", &text);
        node.runs_a_pod();
        node.installed(&[]);
        let once = node.read("10-any.conflist");
        prop_assert_eq!(node.json("10-any.conflist")["plugins"].as_array().unwrap().len(), plugins.len() + 1);
        for plugin in &plugins {
            prop_assert!(once.contains(plugin.trim()));
        }
        node.installed(&[]);
        prop_assert_eq!(&node.read("10-any.conflist"), &once);
        node.installed(&["--records", "/run/elsewhere"]);
        node.uninstalled();
        prop_assert_eq!(node.read("10-any.conflist"), text);
    }

    #[test]
    fn any_single_plugin_comes_back_whole(text in object(vec![
        ("name", Just("\"net\"".to_owned()).boxed()),
        ("cniVersion", Just("\"1.0.0\"".to_owned()).boxed()),
        ("type", Just("\"bridge\"".to_owned()).boxed()),
    ])) {
        let node = Node::with("10-any.conf", &text);
        node.runs_a_pod();
        node.installed(&[]);
        let list = node.json("10-any-podconfig.conflist");
        prop_assert_eq!(types(&list), ["bridge", "podconfig-cni"]);
        prop_assert_eq!(&node.read("10-any.conf"), &text);
        node.uninstalled();
        prop_assert_eq!(node.read("10-any.conf"), text);
        prop_assert_eq!(node.names(), ["10-any.conf"]);
    }
}
