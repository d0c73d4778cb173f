//! Builds the record of a sandbox from the runtime's call. It never guesses: a sandbox without a pod name or
//! a verified namespace gets no record.

mod extras;

use std::ffi::OsString;
use std::path::PathBuf;

use sandbox_record::netns::{Identity, Netns};
use sandbox_record::{Record, SCHEMA, boot_id, is_plain_path, is_uid, now, since_boot};

use crate::io::CniIo;
use crate::protocol::{CniError, Code};
use crate::request::Request;

/// The variables of an ADD or CHECK.
pub struct Call {
    pub container_id: String,
    pub ifname: String,
    pub netns: PathBuf,
    args: OsString,
}

impl Call {
    /// Reads the variables that this plugin uses; missing required ones are an error.
    pub fn read(io: &CniIo<'_>) -> Result<Self, CniError> {
        let mut missing = Vec::new();
        let mut take = |name: &'static str| {
            let value = io.variable(name);
            if value.is_none() {
                missing.push(name);
            }
            value.unwrap_or_default()
        };
        let id = take("CNI_CONTAINERID");
        let netns = take("CNI_NETNS");
        let ifname = take("CNI_IFNAME");
        if !missing.is_empty() {
            let msg = format!("not set: {}", missing.join(", "));
            return Err(CniError::new(Code::InvalidEnvironment, msg));
        }
        Ok(Self {
            // Non-UTF-8 is invalid; the validation of names refuses it later.
            container_id: id.to_string_lossy().into_owned(),
            ifname: ifname.to_string_lossy().into_owned(),
            netns: netns.into(),
            args: io.variable("CNI_ARGS").unwrap_or_default(),
        })
    }

    /// The record of this sandbox. `remarks` lists what had to be left out.
    pub fn record(
        &self,
        request: &Request<'_>,
        result: &str,
        remarks: &mut Vec<String>,
    ) -> Result<Record, String> {
        let pod = Pod::parse(&self.args)?;
        let network = request.network()?.into_owned();
        let identity = self.identity()?;
        let mut record = Record {
            schema: SCHEMA,
            pod_namespace: pod.namespace,
            pod_name: pod.name,
            pod_uid: pod
                .uid
                .filter(|uid| is_uid(uid) || remark_uid(uid, remarks)),
            container_id: self.container_id.clone(),
            ifname: self.ifname.clone(),
            network,
            netns: self.netns.clone(),
            device: identity.device,
            inode: identity.inode,
            cookie: identity.cookie,
            boot_id: boot_id().map_err(|error| format!("cannot read the boot id: {error}"))?,
            addresses: extras::addresses(result, remarks),
            annotations: extras::annotations(request, remarks),
            time: now(),
            since_boot: since_boot(),
        };
        extras::fit(&mut record, remarks);
        Ok(record)
    }

    /// The identity of the namespace. The fd is closed at once: an open one would keep the namespace of a
    /// dead pod.
    fn identity(&self) -> Result<Identity, String> {
        if !is_plain_path(&self.netns) {
            return Err(format!(
                "CNI_NETNS {:?} is not an absolute path without \"..\"",
                self.netns
            ));
        }
        let netns = Netns::at_runtime_path(&self.netns).map_err(|error| error.to_string())?;
        Ok(netns.identity())
    }
}

/// The pod in `CNI_ARGS`.
#[derive(Debug, PartialEq, Eq)]
struct Pod {
    namespace: String,
    name: String,
    uid: Option<String>,
}

impl Pod {
    /// Reads `KEY=value;KEY=value`. The first of repeated keys counts: CRI-O puts its own pairs before
    /// inherited ones. Other keys and non-pairs are skipped.
    fn parse(args: &OsString) -> Result<Self, String> {
        let args = args.to_string_lossy();
        let pairs: Vec<(&str, &str)> = args
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let find = |key: &str| {
            let found = pairs.iter().find(|(name, _)| *name == key);
            found
                .map(|(_, value)| (*value).to_owned())
                .filter(|value| !value.is_empty())
        };
        let need = |key: &str| {
            find(key).ok_or_else(|| format!("CNI_ARGS has no {key}, so this is no pod"))
        };
        Ok(Self {
            namespace: need("K8S_POD_NAMESPACE")?,
            name: need("K8S_POD_NAME")?,
            uid: find("K8S_POD_UID"),
        })
    }
}

fn remark_uid(uid: &str, remarks: &mut Vec<String>) -> bool {
    remarks.push(format!(
        "left out of the record: K8S_POD_UID {uid:?} is not a uid"
    ));
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pod(args: &str) -> Result<Pod, String> {
        Pod::parse(&args.into())
    }

    #[test]
    fn the_order_of_arguments_does_not_matter() {
        let expected = Pod {
            namespace: "a".into(),
            name: "b".into(),
            uid: Some("c".into()),
        };
        assert_eq!(
            pod("IgnoreUnknown=1;K8S_POD_UID=c;K8S_POD_NAME=b;K8S_POD_NAMESPACE=a"),
            Ok(expected)
        );
    }

    #[test]
    fn the_first_of_a_repeated_argument_counts() {
        let pod = pod("K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_NAME=evil").unwrap();
        assert_eq!(pod.name, "b");
    }

    #[test]
    fn arguments_that_are_no_pairs_are_skipped() {
        let pod = pod(";;=;x;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b=c;K8S_POD_UID=").unwrap();
        assert_eq!((pod.name.as_str(), pod.uid), ("b=c", None));
    }

    #[test]
    fn without_a_name_it_is_no_pod() {
        for args in [
            "",
            "K8S_POD_NAMESPACE=a",
            "K8S_POD_NAME=b",
            "K8S_POD_NAMESPACE=;K8S_POD_NAME=b",
            "k8s_pod_name=b",
        ] {
            assert!(
                pod(args)
                    .unwrap_err()
                    .contains("CNI_ARGS has no K8S_POD_NA")
            );
        }
    }
}
