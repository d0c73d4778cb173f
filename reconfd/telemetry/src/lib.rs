//! Probes and metrics of the programs.

/// `/livez`, `/readyz`, `/metrics`, and the health of the daemon.
pub mod http;
/// Metrics of the daemon.
pub mod metrics;
