//! Connection to the API server, and the check of its version.

use std::{error::Error as _, time::Duration};

use anyhow::{Context as _, bail};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::{Client, Config};

/// The oldest version with the admission features and field selectors that podconfig needs: 1.31.
const OLDEST: (u32, u32) = (1, 31);
/// Interval between attempts to reach the API server.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Uses KUBECONFIG if it is set, otherwise the service account of the pod.
pub async fn connect() -> anyhow::Result<Client> {
    let config = Config::infer().await.context(
        "cannot find the API server: set KUBECONFIG, or run in a pod with a service account",
    )?;
    tracing::info!(url = %config.cluster_url, "the API server");
    Client::try_from(config).context("cannot prepare the connection to the API server")
}

/// Waits for the version of the API server, and checks that it is supported.
pub async fn check_version(client: &Client, mut waiting: impl FnMut(&str)) -> anyhow::Result<()> {
    loop {
        match client.apiserver_version().await {
            Ok(info) => return check_supported(&info),
            Err(error) => waiting(&format!(
                "cannot get the version of the API server: {}",
                error_text(&error)
            )),
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// The message of the API server; for any other error, the whole chain of causes.
pub fn error_text(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text += &format!(": {deeper}");
        cause = deeper.source();
    }
    text
}

/// The error as text, with a hint for common causes.
pub fn refusal(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            "404: the CustomResourceDefinition is not installed".to_owned()
        }
        kube::Error::Api(status) => format!("{}: {}", status.code, status.message),
        other => other.to_string(),
    }
}

fn check_supported(info: &Info) -> anyhow::Result<()> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    let version = (number(&info.major), number(&info.minor));
    if version < OLDEST {
        bail!(
            "the API server is Kubernetes {}; podconfig needs 1.31 or newer",
            info.git_version
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(major: &str, minor: &str) -> Info {
        Info {
            major: major.into(),
            minor: minor.into(),
            git_version: format!("v{major}.{minor}.0"),
            ..Info::default()
        }
    }

    #[test]
    fn an_old_api_server_is_refused_in_words() {
        for (major, minor) in [("1", "30"), ("1", "9+"), ("0", "99"), ("", "")] {
            let refused = check_supported(&info(major, minor))
                .expect_err(minor)
                .to_string();
            assert!(refused.contains("1.31 or newer"), "{refused}");
        }
        for (major, minor) in [("1", "31"), ("1", "36+"), ("2", "0")] {
            assert!(
                check_supported(&info(major, minor)).is_ok(),
                "{major}.{minor}"
            );
        }
    }
}
