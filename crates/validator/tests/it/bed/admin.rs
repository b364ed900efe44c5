//! A validator's admin port, and its own health check.

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::Value;

use super::{Bed, Validator};

impl Validator {
    async fn page(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("http://{}{path}", self.built("admin_address").await);
        self.client.get(url).send().await
    }

    pub(crate) async fn is_ready(&self) -> bool {
        self.page("/readyz").await.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    /// A JSON page of the admin port.
    pub(crate) async fn admin(&self, path: &str) -> (StatusCode, Value) {
        let response = self.page(path).await.expect("an answer");
        (response.status(), response.json().await.expect("json"))
    }

    /// The exit code of `validator healthcheck` for this process.
    pub(crate) async fn healthcheck(&self, bed: &Bed) -> i32 {
        let mut command = bed.command();
        command.env("OSS__HTTP__ADMIN_LISTEN", self.built("admin_address").await);
        command.arg("healthcheck").stdout(Stdio::null()).status().expect("runs").code().expect("an exit code")
    }

    /// The metrics page.
    pub(crate) async fn metrics(&self) -> String {
        self.page("/metrics").await.expect("an answer").text().await.expect("text")
    }
}
