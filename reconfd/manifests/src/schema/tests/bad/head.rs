use super::*;

const METADATA: &[Case] = &[
    (pod, "{}", &["metadata.name: is missing"]),
    (
        pod,
        "{name: ''}",
        &[
            r#"metadata.name: "" is not a valid name: lower-case letters, digits, - and . only, at most 253"#,
        ],
    ),
    (
        pod,
        "{name: A}",
        &[
            r#"metadata.name: "A" is not a valid name: lower-case letters, digits, - and . only, at most 253"#,
        ],
    ),
    (
        pod,
        "{name: ../../etc/passwd}",
        &[
            r#"metadata.name: "../../etc/passwd" is not a valid name: lower-case letters, digits, - and . only, at most 253"#,
        ],
    ),
    (
        pod,
        "{name: a..b}",
        &[
            r#"metadata.name: "a..b" is not a valid name: lower-case letters, digits, - and . only, at most 253"#,
        ],
    ),
    (
        pod,
        r#"{name: "\u0430"}"#,
        &[
            "metadata.name: \"\u{430}\" is not a valid name: lower-case letters, digits, - and . only, at most 253",
        ],
    ),
    (pod, "{name: 7}", &["metadata.name: 7 is not a string"]),
    (
        pod,
        "{name: a, namespace: a.b}",
        &[
            r#"metadata.namespace: "a.b" is not a valid namespace: lower-case letters, digits and - only, at most 63"#,
        ],
    ),
    (
        pod,
        "{name: a, labels: [a]}",
        &["metadata.labels: a list is not a map"],
    ),
    (
        pod,
        "{name: a, labels: {app: true}}",
        &[r#"metadata.labels["app"]: true is not a string; put it in quotes"#],
    ),
    (
        pod,
        "{name: a, labels: {app: , b: c}}",
        &[r#"metadata.labels["app"]: null is not a string; put it in quotes"#],
    ),
    (
        pod,
        "{name: a, labels: {'': x}}",
        &[r#"metadata.labels[""]: is not a valid label key, such as app or example.com/app"#],
    ),
    (
        pod,
        "{name: a, labels: {a/b/c: x}}",
        &[r#"metadata.labels["a/b/c"]: is not a valid label key, such as app or example.com/app"#],
    ),
    (
        pod,
        "{name: a, labels: {app: -x}}",
        &[
            r#"metadata.labels["app"]: "-x" is not a valid label value: letters, digits, -, _ and . only, at most 63"#,
        ],
    ),
    (
        pod,
        r#"{name: a, labels: {app: "\u0441nf"}}"#,
        &[
            "metadata.labels[\"app\"]: \"\u{441}nf\" is not a valid label value: letters, digits, -, _ and . only, at most 63",
        ],
    ),
    (
        pod,
        "{name: a, annotations: {a: 1}}",
        &[r#"metadata.annotations["a"]: 1 is not a string; put it in quotes"#],
    ),
    (
        pod,
        "{name: a, uid: 7}",
        &["metadata.uid: 7 does not fit: invalid type: integer `7`, expected a string"],
    ),
    (
        pod,
        "{name: a, creationTimestamp: yesterday}",
        &[
            r#"metadata.creationTimestamp: "yesterday" does not fit: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y"#,
        ],
    ),
    (
        pod,
        "{name: a, generation: one}",
        &[r#"metadata.generation: "one" does not fit: invalid type: string "one", expected i64"#],
    ),
];

#[test]
fn names_labels_and_times_are_those_of_kubernetes() {
    all_refused(METADATA);
}
