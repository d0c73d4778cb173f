//! Optional parts of a record: addresses and annotations. Invalid ones are left out with a remark. Nothing
//! here may prevent the record.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sandbox_record::json::Members;
use sandbox_record::{MAX_RECORD_BYTES, Record, is_cidr};
use serde_json::value::RawValue;

use crate::request::Request;

/// The capability under which containerd and CRI-O pass a pod's annotations.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// The valid addresses of a result.
pub fn addresses(result: &str, remarks: &mut Vec<String>) -> Vec<String> {
    match read_addresses(result) {
        Ok(texts) => {
            let (good, bad): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| is_cidr(text));
            remarks.extend(
                bad.first()
                    .map(|text| format!("left out of the record: address {text:?}")),
            );
            good
        }
        Err(problem) => {
            remarks.push(format!("left out of the record: prevResult.ips: {problem}"));
            Vec::new()
        }
    }
}

fn read_addresses(result: &str) -> Result<Vec<String>, String> {
    let members = Members::parse(result.as_bytes()).map_err(|error| error.to_string())?;
    let Some(ips) = members.value("ips") else {
        return read_old_addresses(&members);
    };
    let ips: Vec<Members<'_>> =
        serde_json::from_str(ips.get()).map_err(|error| error.to_string())?;
    let texts = ips.iter().map(|ip| {
        let address = ip.string("address");
        address.map(|text| text.map(Cow::into_owned))
    });
    texts.filter_map(Result::transpose).collect()
}

/// The addresses of a result before 0.3.0: one per family, in its own object.
fn read_old_addresses(members: &Members<'_>) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for family in ["ip4", "ip6"] {
        let Some(object) = members.value(family) else {
            continue;
        };
        let object = Members::parse(object.get().as_bytes())
            .map_err(|error| format!("{family}: {error}"))?;
        texts.extend(object.string("ip")?.map(Cow::into_owned));
    }
    Ok(texts)
}

/// The pod's annotations, if the chain entry declares the capability.
pub fn annotations(request: &Request<'_>, remarks: &mut Vec<String>) -> BTreeMap<String, String> {
    let read = |value: &RawValue| -> Result<BTreeMap<String, String>, String> {
        let members = Members::parse(value.get().as_bytes()).map_err(|error| error.to_string())?;
        let pair = |(key, value): (&str, &RawValue)| {
            let text: Result<String, _> = serde_json::from_str(value.get());
            let text = text.map_err(|error| format!("{key:?}: {error}"))?;
            Ok((key.to_owned(), text))
        };
        members.iter().map(pair).collect()
    };
    let config = request.runtime_config(ANNOTATIONS);
    let found = config.and_then(|value| value.map(read).transpose());
    found
        .map(Option::unwrap_or_default)
        .unwrap_or_else(|problem| {
            remarks.push(format!("left out of the record: annotations: {problem}"));
            BTreeMap::new()
        })
}

/// Removes the largest annotations until the record fits.
pub fn fit(record: &mut Record, remarks: &mut Vec<String>) {
    let size = |record: &Record| serde_json::to_vec(record).map_or(0, |text| text.len());
    // Escaping can turn one byte into six; only records that might be too large are measured.
    let rough: usize = record
        .annotations
        .iter()
        .map(|(key, text)| key.len() + text.len() + 6)
        .sum();
    if rough < MAX_RECORD_BYTES / 8 {
        return;
    }
    while size(record) > MAX_RECORD_BYTES {
        let largest = record
            .annotations
            .iter()
            .max_by_key(|(key, text)| key.len() + text.len());
        let Some(key) = largest.map(|(key, _)| key.clone()) else {
            return;
        };
        record.annotations.remove(&key);
        remarks.push(format!("left out of the record: annotation {key:?}: the record would pass {MAX_RECORD_BYTES} bytes"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_left_out() {
        let mut remarks = Vec::new();
        let result = r#"{"ips":[{"address":"10.0.0.7/24"},{"address":"nonsense"},{},{"address":"fd00::7/64"}]}"#;
        assert_eq!(
            addresses(result, &mut remarks),
            ["10.0.0.7/24", "fd00::7/64"]
        );
        assert_eq!(remarks.len(), 1);
        for odd in [
            r#"{"ips":7}"#,
            r#"{"ips":[7]}"#,
            r#"{"ips":[{"address":7}]}"#,
            "{\"\\ud800\":1}",
        ] {
            assert!(addresses(odd, &mut remarks).is_empty());
        }
        assert_eq!(remarks.len(), 5);
    }

    #[test]
    fn addresses_of_a_result_before_0_3_are_read_too() {
        let mut remarks = Vec::new();
        let old = r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/24"},"ip6":{"ip":"fd00::5/64"},"dns":{}}"#;
        assert_eq!(addresses(old, &mut remarks), ["10.0.0.5/24", "fd00::5/64"]);
        assert!(remarks.is_empty());
        for odd in [r#"{"ip4":7}"#, r#"{"ip6":{"ip":7}}"#] {
            assert!(addresses(odd, &mut remarks).is_empty());
        }
        assert_eq!(remarks.len(), 2);
    }

    #[test]
    fn the_largest_annotation_goes_first() {
        let text = r#"{"schema": 1, "podNamespace": "tenant-a", "podName": "web-0", "containerId": "c0ffee",
            "ifname": "eth0", "network": "cluster", "netns": "/run/netns/cni-1", "device": 4, "inode": 4026532000,
            "cookie": 77, "bootId": "0d1e2f3a", "time": "2026-01-01T00:00:00.000000000Z"}"#;
        let mut record: Record = serde_json::from_str(text).unwrap();
        record.annotations = BTreeMap::from([
            ("big".into(), "\u{1}".repeat(20_000)),
            ("small".into(), "x".into()),
        ]);
        let mut remarks = Vec::new();
        fit(&mut record, &mut remarks);
        assert_eq!(record.annotations.keys().collect::<Vec<_>>(), ["small"]);
        assert!(remarks[0].contains("\"big\""));
    }
}
