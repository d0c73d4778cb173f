//! Destination of reports: a folder or the Kubernetes API, depending on the source.

use crds::{PodReport, PodReportStatus};

/// Writes reports for the configured source.
#[derive(Clone)]
pub enum ReportSink {
    Directory(manifests::FileSink),
    Cluster(cluster::WriteQueue),
}

impl ReportSink {
    /// The report of a pod that an earlier daemon wrote.
    pub fn reported(&self, namespace: &str, name: &str) -> Option<PodReportStatus> {
        match self {
            Self::Directory(_) => None,
            Self::Cluster(sink) => sink.written(namespace, name),
        }
    }

    pub fn write_pod_report(&self, report: &PodReport) {
        match self {
            Self::Directory(sink) => sink.write_pod_report(report),
            Self::Cluster(sink) => sink.write_pod_report(report),
        }
    }

    /// Hands a pod's report over to another installation; what it writes is not overwritten.
    pub fn leave_pod(&self, namespace: &str, name: &str) {
        match self {
            // A folder has one daemon.
            Self::Directory(_) => (),
            Self::Cluster(sink) => sink.forget_pod(namespace, name),
        }
    }

    pub fn remove_pod_report(&self, namespace: &str, name: &str, uid: &str) {
        match self {
            Self::Directory(sink) => sink.remove_pod_report(namespace, name),
            Self::Cluster(sink) => sink.remove_pod_report(namespace, name, uid),
        }
    }
}
