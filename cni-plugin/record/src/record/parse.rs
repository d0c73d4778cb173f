//! Parses a record field by field, so that an error can name the field. It never accepts what
//! `Record::invalid_field` refuses, nor a record under another file name.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Record, RecordError, RecordErrorKind as Kind, SCHEMA, names};
use crate::json::Members;

/// The file name of a sandbox's record, when both names are valid.
pub(super) fn file_name(
    container_id: &str,
    ifname: &str,
) -> Result<String, (&'static str, String)> {
    if !names::is_container_id(container_id) {
        return Err((
            "containerId",
            format!("{container_id:?} is not a container id"),
        ));
    }
    if !names::is_ifname(ifname) {
        return Err(("ifname", format!("{ifname:?} is not an interface name")));
    }
    Ok(format!("{container_id}.{ifname}.json"))
}

/// Parses the record at `path`.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Record, RecordError> {
    let malformed = |problem: String| RecordError::new(Kind::Malformed, path, problem);
    let members = Members::parse(text).map_err(|error| malformed(error.to_string()))?;
    if let Some(key) = members.repeated() {
        let problem = "is written twice".to_owned();
        return Err(RecordError::in_field(Kind::Malformed, path, key, problem));
    }
    let fields = Fields { path, members };
    let schema: u32 = fields.get("schema")?;
    if schema != SCHEMA {
        let problem = format!("{schema} is not {SCHEMA}, the only one that this release supports");
        return Err(RecordError::in_field(
            Kind::UnknownSchema,
            path,
            "schema",
            problem,
        ));
    }
    let record = fields.record(schema)?;
    if let Some((field, problem)) = record.invalid_field() {
        return Err(RecordError::in_field(Kind::Malformed, path, field, problem));
    }
    check_place(path, &record)?;
    Ok(record)
}

/// A record is valid only under its own file name: a copy cannot represent another sandbox.
fn check_place(path: &Path, record: &Record) -> Result<(), RecordError> {
    let expected = file_name(&record.container_id, &record.ifname)
        .map_err(|(field, problem)| RecordError::in_field(Kind::Malformed, path, field, problem))?;
    if path
        .file_name()
        .is_some_and(|name| name == expected.as_str())
    {
        return Ok(());
    }
    let problem = format!("its content belongs under the name {expected:?}");
    Err(RecordError::in_field(
        Kind::Misfiled,
        path,
        "containerId",
        problem,
    ))
}

struct Fields<'a> {
    path: &'a Path,
    members: Members<'a>,
}

impl Fields<'_> {
    fn record(&self, schema: u32) -> Result<Record, RecordError> {
        Ok(Record {
            schema,
            pod_namespace: self.get("podNamespace")?,
            pod_name: self.get("podName")?,
            pod_uid: self.optional("podUid")?,
            container_id: self.get("containerId")?,
            ifname: self.get("ifname")?,
            network: self.get("network")?,
            netns: self.get("netns")?,
            device: self.get("device")?,
            inode: self.get("inode")?,
            cookie: self.get("cookie")?,
            boot_id: self.get("bootId")?,
            addresses: self.optional("addresses")?.unwrap_or_default(),
            annotations: self.optional("annotations")?.unwrap_or_default(),
            time: self.get("time")?,
            since_boot: self.optional("sinceBoot")?,
        })
    }

    fn get<T: DeserializeOwned>(&self, field: &str) -> Result<T, RecordError> {
        match self.members.get(field) {
            Some(value) => self.decode(field, value),
            None => Err(self.wrong(field, "is missing".into())),
        }
    }

    fn optional<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>, RecordError> {
        let value = self.members.value(field);
        value.map(|value| self.decode(field, value)).transpose()
    }

    fn decode<T: DeserializeOwned>(&self, field: &str, value: &RawValue) -> Result<T, RecordError> {
        let decoded = serde_json::from_str(value.get());
        decoded.map_err(|error| self.wrong(field, error.to_string()))
    }

    fn wrong(&self, field: &str, problem: String) -> RecordError {
        RecordError::in_field(Kind::Malformed, self.path, field, problem)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use serde_json::{Value, json};

    fn read(value: &Value) -> Result<Record, RecordError> {
        parse(
            Path::new("/r/c0ffee.eth0.json"),
            value.to_string().as_bytes(),
        )
    }

    #[test]
    fn what_was_written_is_what_is_read() {
        let mut record = sample();
        assert_eq!(read(&json!(record)).unwrap(), record);
        record.pod_uid = None;
        assert_eq!(read(&json!(record)).unwrap(), record);
    }

    #[test]
    fn a_wrong_type_in_any_field_is_reported_with_file_and_field() {
        let whole = json!(sample());
        for field in whole.as_object().unwrap().keys() {
            for wrong in [json!({"x": 1}), json!([[]]), json!(-1.5), json!(true)] {
                let mut value = whole.clone();
                value[field] = wrong;
                let error = read(&value).unwrap_err();
                assert_eq!(error.field.as_deref(), Some(field.as_str()));
                assert_eq!(error.kind, Kind::Malformed);
                assert!(error.to_string().contains("c0ffee.eth0.json"));
            }
        }
    }

    #[test]
    fn a_missing_field_is_reported() {
        let whole = json!(sample());
        for field in whole.as_object().unwrap().keys() {
            let mut value = whole.clone();
            value.as_object_mut().unwrap().remove(field);
            let optional = ["podUid", "addresses", "annotations", "sinceBoot"];
            let optional = optional.contains(&field.as_str());
            assert_eq!(read(&value).is_ok(), optional, "{field}");
        }
    }

    #[test]
    fn another_schema_asks_for_the_same_release() {
        let error = read(&json!({"schema": 2, "everything": "else may differ"})).unwrap_err();
        assert_eq!(error.kind, Kind::UnknownSchema);
        assert!(error.to_string().contains("one release"));
    }

    #[test]
    fn a_copy_under_another_name_is_no_record() {
        let text = json!(sample()).to_string();
        let error = parse(Path::new("/r/beef.eth0.json"), text.as_bytes()).unwrap_err();
        assert_eq!(error.kind, Kind::Misfiled);
    }

    #[test]
    fn a_field_that_is_written_twice_is_refused() {
        let text = json!(sample())
            .to_string()
            .replacen('{', "{\"cookie\":1,", 1);
        let error = parse(Path::new("/r/c0ffee.eth0.json"), text.as_bytes()).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("cookie"));
    }

    #[test]
    fn a_record_cut_anywhere_is_no_record() {
        let text = json!(sample()).to_string();
        for end in 0..text.len() {
            assert!(parse(Path::new("/r/c0ffee.eth0.json"), &text.as_bytes()[..end]).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_at_all_can_panic(bytes: Vec<u8>) {
            assert!(parse(Path::new("/r/c0ffee.eth0.json"), &bytes).is_err());
        }

        #[test]
        fn any_annotation_and_number_comes_back(cookie in 1u64.., inode in 1u64.., device: u64, key: String, text: String) {
            let mut record = sample();
            (record.cookie, record.inode, record.device) = (cookie, inode, device);
            record.annotations.insert(key, text);
            assert_eq!(read(&json!(record)).unwrap(), record);
        }
    }
}
