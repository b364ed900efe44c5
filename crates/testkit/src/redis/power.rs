//! The preloaded library that knows what of a file is safe and can move the clock; see `shim/power.c`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const SOURCE: &str = include_str!("../../shim/power.c");

/// A compiled shim with its files.
#[derive(Debug)]
pub(super) struct Shim {
    folder: TempDir,
}

impl Shim {
    /// Compiles it.
    pub(super) fn build() -> io::Result<Self> {
        let shim = Self { folder: TempDir::with_prefix("oss-shim-")? };
        std::fs::create_dir(shim.synced())?;
        shim.set_clock(0)?;
        let source = shim.folder.path().join("power.c");
        std::fs::write(&source, SOURCE)?;
        let mut command = Command::new("gcc");
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(shim.library()).arg(&source).arg("-ldl");
        let done = command.output()?;
        if done.status.success() {
            return Ok(shim);
        }
        Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()))
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("power.so")
    }

    fn synced(&self) -> PathBuf {
        self.folder.path().join("synced")
    }

    fn clock(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    pub(super) fn variables(&self) -> [(&'static str, PathBuf); 3] {
        [("LD_PRELOAD", self.library()), ("OSS_SYNCED", self.synced()), ("OSS_CLOCK", self.clock())]
    }

    /// The file is mapped by the server: it is written in place.
    pub(super) fn set_clock(&self, offset_ms: i64) -> io::Result<()> {
        let mut file = File::options().create(true).truncate(false).write(true).open(self.clock())?;
        file.write_all(&offset_ms.to_ne_bytes())
    }

    /// Cuts every append-only file of a dead server to the length that was fsynced; one that never was, to nothing.
    /// Answers how many bytes went. Base files and the manifest are replaced as a whole by Redis, with an fsync before.
    pub(super) fn cut(&self, folder: &Path) -> io::Result<u64> {
        let mut gone = 0;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.ends_with(".incr.aof") {
                continue;
            }
            let safe = self.safe_length(name)?;
            let file = File::options().write(true).open(&path)?;
            let length = file.metadata()?.len();
            if length > safe {
                file.set_len(safe)?;
                gone += length - safe;
            }
        }
        Ok(gone)
    }

    fn safe_length(&self, name: &str) -> io::Result<u64> {
        match std::fs::read_to_string(self.synced().join(name)) {
            Ok(text) => text.trim().parse().map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}
