//! The endpoints file: where each EVM target answers JSON-RPC. Apart from the targets file, because replicas in
//! different places may use different nodes of the same chain.

use std::collections::BTreeMap;
use std::path::Path;

use common::ids::Name;
use serde::Deserialize;

use crate::error::StartError;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Endpoints(BTreeMap<Name, Endpoint>);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    /// Asked in this order until one answers.
    rpc: Vec<reqwest::Url>,
}

impl Endpoints {
    pub(crate) fn load(path: &Path) -> Result<Self, StartError> {
        let bytes = std::fs::read(path)
            .map_err(|source| StartError::EndpointsRead { path: path.to_owned(), source })?;
        serde_json::from_slice(&bytes).map_err(|error| StartError::EndpointsJson {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })
    }

    /// The URLs of a target, at least one.
    pub(crate) fn of(&self, target: &Name) -> Result<&[reqwest::Url], StartError> {
        match self.0.get(target) {
            Some(endpoint) if !endpoint.rpc.is_empty() => Ok(&endpoint.rpc),
            _ => Err(StartError::NoEndpoint { target: target.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoints;

    #[test]
    fn a_url_that_cannot_be_read_is_not_shown() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), r#"{"base": {"rpc": ["node.example/v3/0123456789abcdef"]}}"#)
            .expect("written");
        let error = anyhow::Error::from(Endpoints::load(file.path()).expect_err("not a URL"));
        let text = format!("{error:#} {error:?}");
        assert!(text.contains("line 1") && !text.contains("0123456789abcdef"), "{text}");
    }
}
