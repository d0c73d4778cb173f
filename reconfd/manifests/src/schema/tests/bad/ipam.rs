use super::*;

mod policies;
mod table;

use table::{BY_NODES, BY_RULE, BY_SHAPE, BY_WORD, RIGHT, Row};

fn of_link(fields: &str) -> Result<Value, Vec<FieldError>> {
    admit_yaml(&link(&format!(
        "{{name: a, veth: {{bridge: b}}, {fields}}}"
    )))
}

fn of_policy(members: &str) -> Result<Value, Vec<FieldError>> {
    admit_yaml(&policy(&format!("{{namespaceSelector: {{}}, {members}}}")))
}

/// Checks that exactly these errors are reported, each with its path.
fn check(rows: &[Row], at: &str, of: fn(&str) -> Result<Value, Vec<FieldError>>) {
    for (fields, expected) in rows {
        let Err(found) = of(fields) else {
            panic!("admitted: {fields}")
        };
        let mut messages = messages(&found);
        for (place, words) in *expected {
            let at = format!("{at}{}{place}: ", if place.is_empty() { "" } else { "." });
            let is_it = |text: &String| text.starts_with(&at) && text.ends_with(words);
            let Some(index) = messages.iter().position(is_it) else {
                panic!("{fields}: {at}{words} is not among {messages:?}")
            };
            messages.remove(index);
        }
        assert!(
            messages.is_empty(),
            "{fields}: {messages:?} is reported as well"
        );
    }
}

#[test]
fn addresses_that_can_never_be_given_out_are_refused() {
    check(BY_RULE, "spec.links[0]", of_link);
}

#[test]
fn ipam_of_another_shape_is_refused() {
    check(BY_SHAPE, "spec.links[0]", of_link);
    check(BY_WORD, "spec.links[0]", of_link);
}

/// What the nodes say of the ranges of a link that was admitted.
fn judged(fields: &str) -> Result<(), String> {
    let admitted = of_link(fields).unwrap_or_else(|f| panic!("{fields}: {:?}", messages(&f)));
    let config: crds::PodConfig = serde_json::from_value(admitted).unwrap();
    let mut ranges = config.spec.links[0].ranges().iter();
    ranges.try_for_each(|range| address::range::Range::new(range).map(drop))
}

#[test]
fn unusual_addresses_are_admitted_and_given_out() {
    for fields in RIGHT {
        assert_eq!(judged(fields), Ok(()), "{fields}");
    }
}

#[test]
fn what_no_rule_can_say_the_nodes_say() {
    for (fields, words) in BY_NODES {
        let said = judged(fields).expect_err(fields);
        assert!(said.contains(words), "{fields}: {said}");
    }
}

#[test]
fn a_policy_says_nothing_about_addresses_that_never_holds() {
    check(policies::BY_RULE, "spec", of_policy);
    check(policies::BY_SHAPE, "spec", of_policy);
    for members in policies::RIGHT {
        let admitted =
            of_policy(members).unwrap_or_else(|f| panic!("{members}: {:?}", messages(&f)));
        serde_json::from_value::<crds::PodConfigPolicy>(admitted).unwrap();
    }
}

/// This code asks the rules itself, for speed; kube's own evaluation of the same definition must agree.
#[test]
fn kube_counts_the_same_faults() {
    let crd = serde_json::to_value(crds::definition::of::<crds::PodConfig>()).unwrap();
    let rules =
        kube::core::cel::compile_schema(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let right = RIGHT.iter().map(|fields| (*fields, 0));
    for (fields, errors) in BY_RULE
        .iter()
        .map(|(f, messages)| (*f, messages.len()))
        .chain(right)
    {
        let yaml = link(&format!("{{name: a, veth: {{bridge: b}}, {fields}}}"));
        let value: Value = serde_saphyr::from_str(&yaml).unwrap();
        let theirs = kube::core::cel::validate_compiled(&rules, &value, None);
        assert_eq!(theirs.map_or_else(|e| e.len(), |()| 0), errors, "{fields}");
    }
}
