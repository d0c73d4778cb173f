//! Object sources and report sinks. All sources fill the stores of the crate `store`.

/// The Kubernetes API.
pub mod cluster;
/// Destination of reports.
mod report_sink;

pub use self::report_sink::ReportSink;
