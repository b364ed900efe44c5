//! The file that a command line names, `-` for stdin.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Reads at most so many bytes; what follows is not looked at.
pub(crate) fn read(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(bytes_max).read_to_end(&mut bytes).context("cannot read stdin")?;
    } else {
        let cannot_read = || format!("cannot read {}", file.display());
        let source = std::fs::File::open(file).with_context(cannot_read)?;
        source.take(bytes_max).read_to_end(&mut bytes).with_context(cannot_read)?;
    }
    Ok(bytes)
}

/// Reads all of it.
///
/// # Errors
/// It has more than so many bytes.
pub(crate) fn read_whole(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let bytes = read(file, bytes_max + 1)?;
    if bytes.len() as u64 > bytes_max {
        bail!("{} is too large: at most {bytes_max} bytes are read", file.display());
    }
    Ok(bytes)
}
