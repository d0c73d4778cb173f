//! Manifests that mean harm, or that a tired person wrote. Whatever comes: a clear word,
//! and what was in force stays in force.

use super::*;

const HEAD: &str = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfig\n";

/// The good object lives in the same file; the attack replaces the file.
pub fn stage() -> Stage {
    Stage::new(&[
        ("a.yaml", &podconfig("t", "x", 1500)),
        ("good.yaml", &podconfig("t", "good", 1500)),
    ])
}

pub fn unharmed(stage: &Stage) {
    assert_eq!(
        (stage.mtu("t", "x"), stage.mtu("t", "good")),
        (Some(1500), Some(1500))
    );
    assert!(stage.triggers.try_recv().is_err());
    stage.put("good.yaml", &podconfig("t", "good", 1400));
    assert_eq!(stage.next(), changed("good"));
    assert_eq!(stage.mtu("t", "x"), Some(1500));
}

const METADATA: &str = "metadata: {name: x, namespace: t}\n";

/// Against the parser.
fn texts() -> Vec<(String, &'static str)> {
    let bomb: String = (1..12)
        .map(|i| {
            format!(
                "a{i}: &a{i} [{}]\n",
                vec![format!("*a{}", i - 1); 9].join(",")
            )
        })
        .collect();
    vec![
        (
            format!("a0: &a0 [ha,ha,ha,ha,ha,ha,ha,ha,ha]\n{bomb}"),
            "once its aliases are written out",
        ),
        ("[".repeat(200_000), "nested deeper than 64"),
        (
            (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect(),
            "nested deeper than 64",
        ),
        (
            format!("{HEAD}{METADATA}{METADATA}spec: {{}}\n"),
            "duplicate key metadata",
        ),
        (format!("{HEAD}{METADATA}spec: *nobody\n"), "unknown anchor"),
        (
            format!("{HEAD}{METADATA}spec: &a {{podSelector: *a}}\n"),
            "recursive",
        ),
        (format!("{HEAD}{METADATA}spec:\n\tlinks: []\n"), "tabs"),
        (format!("{HEAD}{METADATA}spec: .inf\n"), "non-finite"),
        ("---\n{}\n".repeat(3000), "has 3000 documents"),
        ("x".repeat(10 << 20), "larger than 1024 KiB"),
    ]
}

/// Names that are none.
fn names() -> Vec<(String, &'static str)> {
    vec![
        (
            format!("{HEAD}metadata: {{name: ../../etc/cron, namespace: t}}\n"),
            "is not a valid name",
        ),
        (
            format!("{HEAD}metadata: {{name: x, namespace: ..}}\n"),
            "is not a valid name",
        ),
        (
            format!("{HEAD}metadata: {{name: \"x\\n---\\nkind: Pod\", namespace: t}}\n"),
            "is not a valid name",
        ),
        (
            format!("{HEAD}metadata: {{name: \"x\\0y\", namespace: t}}\n"),
            "is not a valid name",
        ),
        (
            format!(
                "{HEAD}metadata: {{name: {}, namespace: t}}\n",
                "x".repeat(254)
            ),
            "is not a valid name",
        ),
        (
            format!("{HEAD}metadata: {{name: 17, namespace: t}}\n"),
            "is not a string",
        ),
    ]
}

/// Good YAML that is no good object.
fn objects() -> Vec<(String, &'static str)> {
    vec![
        (
            format!("{HEAD}metadata: [x]\n"),
            "metadata: is missing, or is not an object",
        ),
        (
            format!("{HEAD}metadata: {{generateName: x-}}\n"),
            "metadata.name: is missing",
        ),
        (
            format!("{HEAD}{METADATA}spec: yes\n"),
            "spec.links: is missing",
        ),
        (
            format!("{HEAD}{METADATA}spec: {{links: [{{name: [], mtu: 1}}]}}\n"),
            "invalid type",
        ),
        (
            "apiVersion: podconfig.dev/v9\nkind: PodConfig\nmetadata: {name: x, namespace: t}\n"
                .into(),
            "is not supported here",
        ),
        (
            "kind: PodConfig\nmetadata: {name: x}\n".into(),
            "apiVersion: is missing",
        ),
        (
            "apiVersion: [v1]\nkind: Pod\n".into(),
            "apiVersion: is missing, or is not a string",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: {a: b}\n".into(),
            "items: is not a list",
        ),
        ("- just\n- a list\n".into(), "is not an object"),
        (
            "just some prose, written by accident\n".into(),
            "is not an object",
        ),
        (
            format!("{HEAD}{METADATA}...\n{HEAD}"),
            "second document begins without",
        ),
        ("a: b\u{0}c\n".into(), "unexpected character"),
        ("? {a: b}\n: c\n".into(), "not YAML"),
    ]
}

#[test]
fn hostile_texts_are_refused_by_name_and_disturb_nothing() {
    for (text, words) in [texts(), names(), objects()].concat() {
        let stage = stage();
        stage.put("a.yaml", &text);
        let refusal = stage.refused(words);
        assert!(refusal.starts_with("a.yaml"), "{refusal}");
        assert!(
            refusal.len() < 1500,
            "a message is for people: {} bytes",
            refusal.len()
        );
        unharmed(&stage);
    }
}

#[test]
fn a_policy_in_a_namespace_is_refused() {
    let text = "apiVersion: podconfig.dev/v1alpha1\nkind: PodConfigPolicy\nmetadata: {name: p, namespace: t}\nspec: {namespaceSelector: {}}\n";
    let stage = Stage::new(&[("a.yaml", text)]);
    stage.refused("metadata.namespace: a PodConfigPolicy is not namespaced");
    assert!(stage.stores.policies().is_empty());
}

#[test]
fn what_belongs_to_others_hides_nothing_of_ours() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n";
    let both = [service.to_owned(), podconfig("t", "x", 1500)].join("---\n");
    let stage = Stage::new(&[("a.yaml", &both)]);
    stage.refused("\"Service\" of \"v1\" is not supported here");
    stage.put("a.yaml", service);
    assert_eq!(stage.next(), changed("x"));
}

#[test]
fn ten_thousand_faults_are_told_as_a_few() {
    let links = "  - {name: a, mtu: 70000}\n".repeat(5000);
    let text = format!(
        "{HEAD}metadata: {{name: x, namespace: t}}\nspec:\n  podSelector: {{}}\n  links:\n{links}"
    );
    let stage = stage();
    stage.put("a.yaml", &text);
    stage.refused("and 4980 more errors");
    assert_eq!(stage.refusals().len(), 21);
    unharmed(&stage);
}

#[test]
fn a_flood_of_bad_objects_is_told_as_a_few_and_loses_no_good_one() {
    let stage = stage();
    let flood = format!(
        "apiVersion: v1\nkind: List\nitems: [{}]\n",
        vec!["{}"; 40_000].join(",")
    );
    stage.put("a.yaml", &flood);
    stage.refused("and 39800 more errors in this file");
    unharmed(&stage);
}
