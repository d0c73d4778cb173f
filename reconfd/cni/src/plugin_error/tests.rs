use proptest::prelude::*;

use super::*;

fn failed(stdout: &str, stderr: &str) -> PluginError {
    PluginError::of(Exit::Status(1), stdout.as_bytes(), stderr.as_bytes()).unwrap()
}

#[test]
fn the_printed_error_is_read() {
    let error = failed(
        r#"{"cniVersion":"1.0.0","code":7,"msg":"bad","details":"more"}"#,
        "log",
    );
    let expected = PluginError {
        code: 7,
        msg: "bad".into(),
        details: "more; log".into(),
    };
    assert_eq!(error, expected);
    assert_eq!(
        error.message(Command::Add, "bridge", &Secrets::default()),
        "ADD of bridge failed (code 7): bad"
    );
}

#[test]
fn exit_status_0_is_no_error_and_any_other_end_is_one() {
    assert_eq!(
        PluginError::of(Exit::Status(0), br#"{"code":7,"msg":"x"}"#, b""),
        None
    );
    let killed = PluginError::of(Exit::Signal(9), b"", b"").unwrap();
    assert_eq!(
        killed.msg,
        "the plugin ended with signal 9 and printed no error"
    );
}

#[test]
fn without_an_error_object_stdout_and_stderr_are_details_alone() {
    for stdout in [
        "",
        "banana",
        "null",
        "[]",
        "1",
        r#"{"code":"x"}"#,
        r#"{"code":-1}"#,
        "{\"msg\":\"a\"}{",
    ] {
        let error = failed(stdout, "password=hunter2");
        assert_eq!(
            error.msg, "the plugin ended with exit status 1 and printed no error",
            "{stdout}"
        );
        assert!(error.details.contains("hunter2"));
        assert!(
            !error
                .message(Command::Del, "x", &Secrets::default())
                .contains("hunter2")
        );
    }
    assert!(failed("{}", "").msg.ends_with("an error without a message"));
}

#[test]
fn codes_of_the_specification_have_their_meaning() {
    let with = |code| PluginError {
        code,
        ..PluginError::default()
    };
    assert!(with(11).is_try_again_later() && !with(50).is_try_again_later());
    assert!(with(50).is_not_available() && !with(51).is_not_available());
    assert!(with(51).is_limited_connectivity() && !with(11).is_limited_connectivity());
}

#[test]
fn attack_28_a_configuration_in_the_message_is_not_shown() {
    for msg in [
        r#"failed to load netconf: {"ipam":{"password":"hunter2"}}"#,
        "cannot use &{{0.3.1 net macvlan map[] {hunter2}}}",
        "x {\n hunter2",
    ] {
        let error = PluginError {
            msg: msg.into(),
            ..PluginError::default()
        };
        let message = error.message(Command::Add, "macvlan", &Secrets::default());
        assert!(!message.contains("hunter2"), "{message}");
        assert!(message.ends_with("{…}"), "{message}");
    }
}

#[test]
fn attack_28_escape_sequences_and_line_breaks_are_escaped() {
    let error = PluginError {
        msg: "a\n\u{1b}[31mb\u{202e}c\u{9b}\"d\"\0".into(),
        ..PluginError::default()
    };
    assert_eq!(
        error.message(Command::Add, "x", &Secrets::default()),
        "ADD of x failed: a\\n\\u{1b}[31mb\\u{202e}c\\u{9b}\"d\"\\0"
    );
}

#[test]
fn attack_28_a_mebibyte_is_cut() {
    let large = "ä".repeat(1 << 20);
    let error = failed(&format!("{{\"msg\":\"{large}\"}}"), &large);
    assert!(error.msg.len() <= 4096 && error.details.len() <= 4096);
    assert!(error.message(Command::Add, "x", &Secrets::default()).len() <= 1024);
}

proptest! {
    #[test]
    fn a_message_is_short_and_printable(
        code in any::<u32>(), stdout in any::<String>(), stderr in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let printed = serde_json::json!({"code": code, "msg": stdout.repeat(50)}).to_string();
        for output in [printed, stdout] {
            let error = PluginError::of(Exit::Status(1), output.as_bytes(), &stderr).unwrap();
            let message = error.message(Command::Add, "bridge", &Secrets::default());
            prop_assert!(message.len() <= LONGEST_MESSAGE);
            prop_assert!(!message.chars().any(char::is_control));
        }
    }
}
