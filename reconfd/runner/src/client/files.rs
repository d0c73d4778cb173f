//! Files of the node: a question each, and what can come of it.

use super::{Client, Unanswered};
use crate::protocol::{CachedAttachments, FileRequest, FileResponse, NodeNetworks, Outgoing};

/// Why the daemon does not know a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// It cannot be used, in the runner's words.
    #[error("{0}")]
    Refused(String),
    #[error("an unexpected response")]
    Unexpected,
}

impl Client {
    /// The name and the text of what Multus has stored of an attachment.
    pub fn multus_attachment(
        &self,
        container_id: &str,
        ifname: &str,
    ) -> Result<Option<(String, String)>, FileError> {
        let request = FileRequest::MultusAttachment {
            container_id: container_id.to_owned(),
            ifname: ifname.to_owned(),
        };
        self.find(&request)
    }

    /// Removes that. A missing file counts as removed.
    pub fn remove_multus_attachment(
        &self,
        network: &str,
        container_id: &str,
        ifname: &str,
    ) -> Result<(), FileError> {
        let request = FileRequest::RemoveMultusAttachment {
            network: network.to_owned(),
            container_id: container_id.to_owned(),
            ifname: ifname.to_owned(),
        };
        match self.file(&request)? {
            FileResponse::Missing => Ok(()),
            _ => Err(FileError::Unexpected),
        }
    }

    /// What the node's own CNI configuration names.
    pub fn node_networks(&self) -> Result<NodeNetworks, FileError> {
        match self.file(&FileRequest::NodeNetworks)? {
            FileResponse::NodeNetworks(own) => Ok(own),
            _ => Err(FileError::Unexpected),
        }
    }

    /// What others have attached of a network.
    pub fn cached_attachments(&self, network: &str) -> Result<CachedAttachments, FileError> {
        let network = network.to_owned();
        match self.file(&FileRequest::CachedAttachments { network })? {
            FileResponse::Cached(cached) => Ok(cached),
            _ => Err(FileError::Unexpected),
        }
    }

    /// The configuration of a network that a definition only names.
    pub fn node_configuration(&self, network: &str) -> Result<Option<String>, FileError> {
        let network = network.to_owned();
        let found = self.find(&FileRequest::NodeConfiguration { network })?;
        Ok(found.map(|(_, text)| text))
    }

    fn find(&self, request: &FileRequest) -> Result<Option<(String, String)>, FileError> {
        match self.file(request)? {
            FileResponse::Missing => Ok(None),
            FileResponse::Found { name, text } => Ok(Some((name, text))),
            _ => Err(FileError::Unexpected),
        }
    }

    fn file(&self, request: &FileRequest) -> Result<FileResponse, FileError> {
        match self.exchange(&Outgoing::File(request), None)? {
            FileResponse::Refused(why) => Err(FileError::Refused(why)),
            response => Ok(response),
        }
    }
}
