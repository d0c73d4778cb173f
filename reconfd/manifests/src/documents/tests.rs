#![allow(clippy::unwrap_used)]
use super::*;

fn flaw(text: &str) -> ParseError {
    split(text)[0].parse().unwrap_err()
}

#[test]
fn documents_are_counted_as_people_count_them() {
    let text = "# head\n---\n# nothing\n---\na: 1\n--- # second\nb: 2\n---\n";
    let documents = split(text);
    let lines: Vec<_> = documents.iter().map(|d| (d.number, d.line())).collect();
    assert_eq!(lines, [(1, 5), (2, 7)]);
}

#[test]
fn a_file_of_comments_has_no_documents() {
    assert_eq!(split("# a\n\n---\n# b\n...\n"), []);
}

#[test]
fn a_broken_document_leaves_its_neighbours_alone() {
    let documents = split("a: 1\n---\nb: [\n---\nc: 3\n");
    let good: Vec<_> = documents.iter().map(|d| d.parse().is_ok()).collect();
    assert_eq!(good, [true, false, true]);
}

#[test]
fn the_line_of_a_flaw_is_counted_from_the_top_of_the_file() {
    let error = split("a: 1\n---\nb: 1\nc: *nobody\n")[1]
        .parse()
        .unwrap_err();
    assert_eq!(error.line, Some(4));
}

#[test]
fn a_field_is_found_by_its_path() {
    let text =
        "x: 0\n---\nspec:\n  links:\n  - name: a\n  - name: b\n    veth:\n      bridge: blue\n";
    let lines = split(text)[1].lines();
    assert_eq!(lines.of("spec"), Some(3));
    assert_eq!(lines.of("spec.links[1].veth.bridge"), Some(8));
    assert_eq!(
        lines.of("spec.links[1].mtu"),
        Some(6),
        "the nearest that is there"
    );
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_trouble() {
    let documents = split("\u{feff}a: 1\r\n---\r\nb: 2\r\n");
    assert_eq!(documents[0].parse().unwrap()["a"], 1);
    assert_eq!(documents[1].parse().unwrap()["b"], 2);
}

#[test]
fn json_with_tabs_is_read() {
    let text = "{\n\t\"a\": \"\\ud83d\\ude00\",\n\t\"b\": [1,\n\t2]\n}\n";
    assert_eq!(split(text)[0].parse().unwrap()["b"][1], 2);
}

#[test]
fn a_billion_laughs_stay_few() {
    let mut text = String::from("a0: &a0 [ha,ha,ha,ha,ha,ha,ha,ha,ha]\n");
    for i in 1..12 {
        let laughs = vec![format!("*a{}", i - 1); 9].join(",");
        text += &format!("a{i}: &a{i} [{laughs}]\n");
    }
    assert!(flaw(&text).message.contains("aliases"), "{:?}", flaw(&text));
}

#[test]
fn one_long_text_repeated_by_aliases_is_refused() {
    let text = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(100_000),
        vec!["*a"; 90].join(",")
    );
    assert!(flaw(&text).message.contains("KiB"), "{:?}", flaw(&text));
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    assert!(
        flaw(&"[".repeat(100_000)).message.contains("nest"),
        "{:?}",
        flaw(&"[".repeat(100_000))
    );
    let block: String = (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(flaw(&block).message.contains("deeper"));
}

#[test]
fn a_key_twice_is_refused() {
    let error = flaw("a: 1\na: 2\n");
    assert_eq!(
        (error.line, error.message.as_str()),
        (Some(2), "duplicate key a")
    );
}

#[test]
fn what_is_no_number_in_json_is_refused() {
    assert!(flaw("a: .inf\n").message.contains("non-finite"));
}

#[test]
fn a_cycle_of_aliases_is_refused() {
    assert!(flaw("a: &a {b: *a}\n").message.contains("recursive"));
}

#[test]
fn a_nul_byte_is_refused() {
    assert!(
        flaw("a: b\u{0}c\n")
            .message
            .contains("unexpected character")
    );
}
