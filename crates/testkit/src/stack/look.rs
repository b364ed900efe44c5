//! A look at the processes of a stack from outside: their admin pages, their memory, what they hold open.

use std::path::PathBuf;

use super::{ASK_TIMEOUT, Service, Stack, StackError};

/// What the operating system says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Resident memory, bytes.
    pub resident: u64,
    pub threads: usize,
    /// Open files, sockets among them.
    pub files: usize,
}

/// The series of a metrics page.
#[derive(Debug, Clone, Default)]
pub struct Metrics(String);

impl Metrics {
    /// The sum over all series of the name that have all these `label="value"` texts.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (own, value) = rest.rsplit_once(' ')?;
            let is_of_name = own.is_empty() || own.starts_with('{');
            (is_of_name && labels.iter().all(|label| own.contains(label)))
                .then(|| value.parse::<f64>().ok())?
        });
        values.sum()
    }
}

impl Stack {
    /// A page of a service's admin port.
    ///
    /// # Errors
    /// It does not answer, or there is no such process.
    pub async fn admin(&self, service: Service, path: &str) -> Result<String, StackError> {
        let missing = || StackError::NoSuchPart { name: format!("{service:?}") };
        let url = self.services.get(&service).ok_or_else(missing)?.admin_url(path);
        let text = async { self.http.get(url).timeout(ASK_TIMEOUT).send().await?.text().await };
        Ok(text.await.map_err(super::ApiError::from)?)
    }

    /// What `/readyz` says that the process is: `ready`, `standby` or `not_ready`; empty = nobody answers.
    pub async fn state(&self, service: Service) -> String {
        let page = self.admin(service, "/readyz").await.unwrap_or_default();
        let body: serde_json::Value = serde_json::from_str(&page).unwrap_or_default();
        body["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The metrics of a service.
    ///
    /// # Errors
    /// As [`Stack::admin`].
    pub async fn metrics(&self, service: Service) -> Result<Metrics, StackError> {
        Ok(Metrics(self.admin(service, "/metrics").await?))
    }

    /// What a service's process holds.
    ///
    /// # Errors
    /// It does not run.
    pub fn held(&self, service: Service) -> Result<Held, StackError> {
        let missing = || StackError::NoSuchPart { name: format!("{service:?}") };
        let id = self.services.get(&service).and_then(super::Process::id).ok_or_else(missing)?;
        held(id)
    }
}

/// What a process holds.
///
/// # Errors
/// It does not run.
pub fn held(id: u32) -> Result<Held, StackError> {
    let folder = PathBuf::from(format!("/proc/{id}"));
    let status = std::fs::read_to_string(folder.join("status"))?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let resident = kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1_024;
    let count = |name: &str| std::fs::read_dir(folder.join(name)).map(Iterator::count);
    Ok(Held { resident, threads: count("task")?, files: count("fd")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_and_labels_and_no_longer_name_is_taken_for_it() {
        let page = "# TYPE a gauge\na{s=\"x\",t=\"1\"} 2\na{s=\"y\"} 3.5\na_total{s=\"x\"} 7\nb 1\n";
        let metrics = Metrics(page.to_owned());
        assert!((metrics.sum("a", &[]) - 5.5).abs() < 1e-9);
        assert!((metrics.sum("a", &["s=\"x\"", "t=\"1\""]) - 2.0).abs() < 1e-9);
        assert!((metrics.sum("b", &[]) - 1.0).abs() < 1e-9 && metrics.sum("c", &[]).abs() < 1e-9);
    }

    #[test]
    fn a_process_says_what_it_holds() {
        let before = held(std::process::id()).expect("this process runs");
        let file = std::fs::File::open("/dev/null").expect("opens");
        let after = held(std::process::id()).expect("this process runs");
        assert!(before.resident > 0 && before.threads > 0 && after.files > before.files);
        drop(file);
    }
}
