//! Random configurations: real keys with values that fit and that do not, keys that fold onto each other, duplicates,
//! escapes, numbers and nesting.

use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde_json::json;

const TEXTS: [&str; 12] = [
    "up0",
    "up1",
    "bridge",
    "static",
    "host-local",
    "/etc",
    "10.0.0.0/24",
    "",
    "maſter",
    "日本",
    "a\"\\b\n",
    "\u{1f600}",
];
const TEXT_KEYS: [&str; 11] = [
    "master",
    "mode",
    "mac",
    "bridge",
    "device",
    "hwaddr",
    "kernelpath",
    "pciBusID",
    "dataDir",
    "resolvConf",
    "externalSetMarkChain",
];
const NUMBER_KEYS: [&str; 3] = ["mtu", "vlan", "table"];
const SWITCH_KEYS: [&str; 5] = [
    "linkInContainer",
    "isGateway",
    "forceAddress",
    "ipMasq",
    "snat",
];
/// They fold onto keys above, or onto nothing.
const ODD_KEYS: [&str; 10] = [
    "MASTER",
    "Mtu",
    "maſter",
    "hwaddr\u{0}",
    "\u{212a}ernelpath",
    "Type",
    "IPAM",
    "prevResult",
    "RuntimeConfig",
    "",
];
const TYPES: [&str; 6] = [
    "bridge",
    "macvlan",
    "host-device",
    "tuning",
    "meta",
    "host-local",
];

/// Keys that Go takes for the same one.
const FOLDS: [fn(&str) -> String; 4] = [
    str::to_owned,
    str::to_ascii_uppercase,
    |key| key.replacen('s', "ſ", 1),
    |key| key.replacen('k', "\u{212a}", 1),
];

/// JSON with duplicates.
#[derive(Clone, Debug)]
pub enum Written {
    Leaf(String),
    List(Vec<Written>),
    Object(Vec<(String, Written)>),
}

impl Written {
    pub fn text(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::text).collect();
                format!("[{}]", items.join(","))
            }
            Self::Object(members) => {
                let member =
                    |(key, value): &(String, Self)| format!("{}: {}", string(key), value.text());
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(",\n"))
            }
        }
        .replace('\n', " ")
    }

    /// The texts of the plugins: the members of the list, or the configuration itself.
    pub fn plugins(&self) -> Vec<String> {
        let Self::Object(members) = self else {
            return vec![];
        };
        match members.iter().find(|(key, _)| key == "plugins") {
            Some((_, Self::List(plugins))) => plugins.iter().map(Self::text).collect(),
            _ => vec![self.text()],
        }
    }
}

/// A text in JSON, of which every third is written in escapes alone.
fn string(text: &str) -> String {
    match text.len() % 3 {
        0 if text.is_ascii() => {
            let escapes: String = text
                .chars()
                .map(|character| format!("\\u{:04x}", u32::from(character)))
                .collect();
            format!("\"{escapes}\"")
        }
        _ => json!(text).to_string(),
    }
}

fn leaf(text: impl ToString) -> Written {
    Written::Leaf(text.to_string())
}

fn text() -> impl Strategy<Value = Written> {
    prop_oneof![8 => select(&TEXTS[..]).prop_map(str::to_owned), 1 => any::<String>()]
        .prop_map(|text| leaf(string(&text)))
}

fn number() -> impl Strategy<Value = Written> {
    prop_oneof![
        6 => (0_u32..10_000).prop_map(leaf),
        1 => any::<i64>().prop_map(leaf),
        1 => any::<u64>().prop_map(leaf),
        1 => (any::<i32>(), 1_u32..5).prop_map(|(number, digits)| leaf(f64::from(number) / f64::from(10_u32.pow(digits)))),
        1 => select(&["1e3", "-0", "0.0", "1.0", "18446744073709551616", "1e400", "1E-5", "12345678901234567890123"][..])
            .prop_map(leaf),
    ]
}

fn scalar() -> impl Strategy<Value = Written> {
    prop_oneof![4 => text(), 2 => number(), 1 => any::<bool>().prop_map(leaf), 1 => Just(leaf("null"))]
}

/// Anything, up to depths that are refused.
fn anything() -> impl Strategy<Value = Written> {
    let nested = scalar().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Written::List),
            prop::collection::vec((key(), inner), 0..3).prop_map(Written::Object),
        ]
    });
    let deep = (1_usize..20)
        .prop_map(|levels| leaf(format!("{}{}", "[".repeat(levels), "]".repeat(levels))));
    prop_oneof![30 => nested, 1 => deep]
}

fn key() -> impl Strategy<Value = String> {
    let known = [&TEXT_KEYS[..], &NUMBER_KEYS, &SWITCH_KEYS].concat();
    prop_oneof![20 => select(known).prop_map(str::to_owned), 4 => select(&ODD_KEYS[..]).prop_map(str::to_owned), 1 => "[a-c]{1,3}"]
}

fn fitting() -> impl Strategy<Value = (String, Written)> {
    let named = |keys: &'static [&'static str]| select(keys).prop_map(str::to_owned);
    let sysctl = prop::collection::vec((named(&TEXT_KEYS), text()), 0..2).prop_map(Written::Object);
    let conditions = prop::collection::vec(text(), 0..3).prop_map(Written::List);
    prop_oneof![
        6 => (named(&TEXT_KEYS), text()),
        3 => (named(&NUMBER_KEYS), number()),
        3 => (named(&SWITCH_KEYS), any::<bool>().prop_map(leaf)),
        1 => (Just("sysctl".to_owned()), sysctl),
        1 => (Just("conditionsV4".to_owned()), conditions),
    ]
}

fn member() -> impl Strategy<Value = (String, Written)> {
    prop_oneof![8 => fitting(), 1 => (key(), anything())]
}

/// Members of which, in every fourth object, one has a twin that Go takes for the same.
fn members(most: usize) -> impl Strategy<Value = Vec<(String, Written)>> {
    let twin = (any::<prop::sample::Index>(), select(&FOLDS[..]), scalar());
    let twin = prop::option::weighted(0.25, twin);
    (prop::collection::vec(member(), 0..most), twin).prop_map(|(mut members, twin)| {
        if let Some((index, fold, value)) = twin.filter(|_| !members.is_empty()) {
            let key = fold(&index.get(&members).0);
            members.push((key, value));
        }
        members
    })
}

fn typed(
    mut members: Vec<(String, Written)>,
    plugin_type: &str,
    inner: Option<(&str, Written)>,
) -> Written {
    members.push(("type".to_owned(), leaf(string(plugin_type))));
    members.extend(inner.map(|(key, value)| (key.to_owned(), value)));
    Written::Object(members)
}

fn ipam() -> impl Strategy<Value = Written> {
    let type_of = select(&TYPES[..]);
    (members(2), type_of).prop_map(|(members, name)| typed(members, name, None))
}

fn plugin() -> impl Strategy<Value = Written> {
    let plain = (members(6), select(&TYPES[..]));
    let inner = prop_oneof![
        3 => Just(None),
        3 => ipam().prop_map(|ipam| Some(("ipam", ipam))),
        1 => ipam().prop_map(|delegate| Some(("delegate", delegate))),
        1 => prop::collection::vec(ipam(), 0..3).prop_map(|delegates| Some(("delegates", Written::List(delegates)))),
    ];
    (plain, inner).prop_map(|((members, name), inner)| typed(members, name, inner))
}

fn configuration() -> impl Strategy<Value = Written> {
    let version = ("cniVersion".to_owned(), leaf("\"1.0.0\""));
    let single = plugin().prop_map({
        let version = version.clone();
        move |plugin| match plugin {
            Written::Object(mut members) => {
                members.push(version.clone());
                Written::Object(members)
            }
            other => other,
        }
    });
    let list = prop::collection::vec(plugin(), 1..4).prop_map(move |plugins| {
        Written::Object(vec![
            version.clone(),
            ("plugins".to_owned(), Written::List(plugins)),
        ])
    });
    prop_oneof![single, list]
}

/// Other ones in each run.
pub fn configurations(count: usize) -> Vec<Written> {
    let mut runner = TestRunner::default();
    let strategy = configuration();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}
