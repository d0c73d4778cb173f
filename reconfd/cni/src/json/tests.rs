use super::*;

mod properties;

fn refusal(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn attack_9_a_duplicate_key_is_refused() {
    let message = refusal(r#"{"plugins":[{"type":"macvlan","master":"up0","master":"up1"}]}"#);
    assert!(
        message.starts_with("plugins[0].master: the key occurs twice"),
        "{message}"
    );
    refusal(r#"{"a":1,"\u0061":1}"#);
    refusal(r#"{"":1,"":1}"#);
}

#[test]
fn attack_9_keys_that_fold_onto_each_other_are_refused() {
    let message = refusal(r#"{"type":"macvlan","master":"up0","MASTER":"up1"}"#);
    assert!(
        message.starts_with("MASTER: the key equals another one"),
        "{message}"
    );
    let message = refusal(r#"{"ipam":{"type":"static","Type":"host-local"}}"#);
    assert!(message.starts_with("ipam.Type: "), "{message}");
    assert!(parse(r#"{"a":{"k":1},"b":{"K":1}}"#).is_ok());
}

#[test]
fn attack_9_long_s_and_kelvin_are_refused_even_alone() {
    for key in ["ma\u{17f}ter", "\u{212a}ey", "ma\\u017fter", "\\u212aey"] {
        let message = refusal(&format!("{{\"{key}\":1}}"));
        assert!(message.contains("outside of ASCII"), "{message}");
    }
}

#[test]
fn attack_9_a_member_is_found_in_any_case() {
    let value = parse(r#"{"MASTER":"up1","x":{"master":"up0"}}"#).unwrap();
    let found = |key| member(value.as_object().unwrap(), key);
    assert_eq!(found("master"), Some(&Value::from("up1")));
    assert_eq!(found("mode"), None);
}

#[test]
fn attack_26_deep_nesting_is_refused() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(&nested(16)).is_ok());
    assert!(refusal(&nested(17)).contains("deeper than 16 levels"));
    refusal(&nested(10_000));
    let objects = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert!(parse(&objects(16)).is_ok());
    assert!(refusal(&objects(17)).starts_with("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a: nested"));
}

#[test]
fn attack_26_a_mebibyte_is_refused_before_it_is_read() {
    assert!(refusal(&"x".repeat(1 << 20)).starts_with("1048576 bytes are more than 65536"));
    let fits = format!("\"{}\"", "x".repeat((64 << 10) - 2));
    assert!(parse(&fits).is_ok());
    assert!(parse(&format!("{fits} ")).is_err());
}

#[test]
fn attack_26_integers_beyond_64_bits_are_refused() {
    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "1e19",
        "1e300",
        "-1E19",
    ] {
        let message = refusal(&format!("{{\"vlan\":{number}}}"));
        assert!(
            message.starts_with("vlan: the integer does not fit"),
            "{message}"
        );
    }
    refusal("1e999");
    refusal("-0");
    refusal("-0.0");
    for (text, number) in [
        ("18446744073709551615", Value::from(u64::MAX)),
        ("-9223372036854775808", Value::from(i64::MIN)),
        ("1.5", Value::from(1.5)),
    ] {
        assert_eq!(parse(text).unwrap(), number);
    }
}

#[test]
fn an_integer_written_as_a_float_is_no_integer() {
    for text in ["1.0", "1e3", "10e-1"] {
        assert_eq!(parse(text).unwrap().as_i64(), None, "{text}");
    }
}

#[test]
fn trailing_and_malformed_text_is_refused() {
    for text in [
        "",
        " ",
        "{} {}",
        "{}x",
        "{}\0",
        "\u{feff}{}",
        "{'a':1}",
        "{\"a\":1,}",
        "[1,]",
        "{\"a\":NaN}",
        "01",
        "+1",
        ".5",
        "/**/{}",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"a\nb\"",
        "tru",
        "{\"a\"}",
        "nul",
        "{1:2}",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

/// serde_json reads such an object as the text in it: stored and read back it would be another configuration.
#[test]
fn a_key_that_serde_json_keeps_for_itself_is_refused() {
    let text = r#"{"x":{"$serde_json::private::RawValue":"{\"type\":\"multus\"}"}}"#;
    assert!(refusal(text).contains("reserved"));
}

#[test]
fn a_message_shows_a_short_and_printable_path_and_no_value() {
    let key = "\u{1b}".repeat(200).replace('\u{1b}', "\\u001b");
    let message = refusal(&format!(
        "{{\"{key}\":{{\"secret\":\"hunter2\",\"Secret\":1}}}}"
    ));
    assert!(message.len() < 700, "{message}");
    assert!(!message.chars().any(char::is_control), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}
