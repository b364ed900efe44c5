//! Where the programs of a stack are found.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::args::Programs;

/// Where the contracts' development packages put anvil, below the project's folder.
const ANVIL_PACKAGE: &str = "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";

/// The programs of one stack, all found before anything starts.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) redis_server: PathBuf,
    pub(crate) collector: PathBuf,
    pub(crate) validator: PathBuf,
    pub(crate) broadcaster: PathBuf,
    /// This program.
    pub(crate) oss: PathBuf,
}

pub(crate) fn find(programs: &Programs) -> anyhow::Result<Found> {
    let oss = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = match &programs.bin_dir {
        Some(folder) => folder.clone(),
        None => oss.parent().context("this program has no folder")?.to_owned(),
    };
    let service = |name: &str| {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        bail!("{} does not exist: build it, or name the folder with --bin-dir", path.display())
    };
    let redis_server = programs.redis_server.clone().or_else(|| in_path("redis-server"));
    Ok(Found {
        redis_server: redis_server
            .context("redis-server is not in PATH: install it, or name it with --redis-server")?,
        collector: service("collector")?,
        validator: service("validator")?,
        broadcaster: service("broadcaster")?,
        oss,
    })
}

/// anvil as named, from PATH, or from the contracts' packages here or above.
pub(crate) fn anvil(programs: &Programs) -> anyhow::Result<PathBuf> {
    if let Some(anvil) = &programs.anvil {
        return Ok(anvil.clone());
    }
    let roots = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let beside = roots
        .iter()
        .flatten()
        .flat_map(|root| root.ancestors().map(|folder| folder.join(ANVIL_PACKAGE)))
        .find(|path| path.is_file());
    in_path("anvil").or(beside).with_context(|| {
        format!("anvil is neither in PATH nor at {ANVIL_PACKAGE}: run `npm ci` in contracts, or name it with --anvil")
    })
}

/// A program of PATH.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder: PathBuf| folder.join(name))
        .find(|path: &PathBuf| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
