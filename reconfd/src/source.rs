//! Object sources and report sinks. All sources fill the stores of the crate `store`.

/// The Kubernetes API.
pub mod cluster;
/// A watched folder of manifests.
pub mod directory;
/// Destination of reports.
mod report_sink;
/// Validation of manifests by the CRD's schema, defaults and CEL rules.
pub mod schema;

pub use self::report_sink::ReportSink;
