use super::*;

#[test]
fn the_highest_supported_version_is_taken() {
    let highest = |version, versions: &[&str]| Version::highest(version, versions);
    assert_eq!(highest(Some("0.3.1"), &[]), Ok(Version::V0_3_1));
    assert_eq!(
        highest(Some("0.3.1"), &["0.4.0", "1.0.0"]),
        Ok(Version::V1_0_0)
    );
    assert_eq!(
        highest(Some("1.1.0"), &["0.4.0", "9.9.9"]),
        Ok(Version::V1_1_0)
    );
    assert_eq!(highest(None, &["1.0.0", "0.1.0"]), Ok(Version::V1_0_0));
}

#[test]
fn versions_below_0_3_0_and_unknown_ones_are_refused() {
    for version in ["0.1.0", "0.2.0", "1.0", "1.0.0 ", "2.0.0", "banana"] {
        let error = Version::highest(Some(version), &[]).unwrap_err();
        assert_eq!(error, VersionError::Unsupported(version.into()));
    }
    assert_eq!(Version::highest(None, &[]), Err(VersionError::Missing));
    assert_eq!(Version::highest(Some(""), &[]), Err(VersionError::Missing));
}

#[test]
fn commands_come_with_their_version() {
    let with = |has: fn(Version) -> bool| Version::ALL.into_iter().find(|&version| has(version));
    assert_eq!(with(Version::has_check), Some(Version::V0_4_0));
    assert_eq!(with(Version::del_has_prev_result), Some(Version::V0_4_0));
    assert_eq!(with(Version::has_status), Some(Version::V1_1_0));
    assert_eq!(with(Version::has_gc), Some(Version::V1_1_0));
}

#[test]
fn an_answer_to_version_is_read_and_a_wrong_one_refused() {
    let answer =
        br#"{"cniVersion":"0.4.0","supportedVersions":["0.1.0","0.4.0","0.3.1","0.3.1","7"]}"#;
    assert_eq!(
        Version::supported_by(answer),
        Ok(vec![Version::V0_3_1, Version::V0_4_0])
    );
    for wrong in [
        &b""[..],
        b"null",
        b"[]",
        b"{}",
        br#"{"supportedVersions":"1.0.0"}"#,
        b"\xff",
    ] {
        assert_eq!(Version::supported_by(wrong), Err(VersionError::Answer));
    }
}

#[test]
fn a_version_is_its_text_in_json() {
    for version in Version::ALL {
        let text = serde_json::to_string(&version).unwrap();
        assert_eq!(text, format!("\"{version}\""));
        assert_eq!(serde_json::from_str::<Version>(&text).unwrap(), version);
    }
}
