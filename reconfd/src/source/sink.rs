//! Where reports go, whichever source it is.

use crds::{PodReport, PodReportStatus};

use super::{cluster, directory};

/// Where reports go.
#[derive(Clone)]
pub enum Sink {
    Directory(directory::Sink),
    Cluster(cluster::Sink),
}

impl Sink {
    /// What was reported of a pod before this daemon started.
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

    /// Another installation reports of this pod from now on: what it writes is not written over.
    pub fn leave_pod(&self, namespace: &str, name: &str) {
        match self {
            // One folder has one daemon.
            Self::Directory(_) => (),
            Self::Cluster(sink) => sink.leave_pod(namespace, name),
        }
    }

    pub fn remove_pod_report(&self, namespace: &str, name: &str, uid: &str) {
        match self {
            Self::Directory(sink) => sink.remove_pod_report(namespace, name),
            Self::Cluster(sink) => sink.remove_pod_report(namespace, name, uid),
        }
    }
}
