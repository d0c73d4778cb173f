//! The record of a sandbox, and handles of network namespaces. The plugin writes records and the daemon reads
//! them; both verify a namespace in the same way. Knows neither CNI nor Kubernetes.

pub mod json;
pub mod netns;

mod record;

pub use record::{
    DEFAULT_RECORDS_DIR, MAX_RECORD_BYTES, Record, RecordError, RecordErrorKind, RecordFolder,
    SCHEMA, boot_id, is_cidr, is_container_id, is_dns_name, is_ifname, is_plain_path, is_uid, now,
    since_boot, since_boot_of, time_of,
};
