//! Where the real binaries are: `OSS_BIN_DIR`, else beside the running executable or, for a test, one folder above.

use std::path::{Path, PathBuf};

use super::{Role, StackError};

/// The four binaries, all found.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds them.
    ///
    /// # Errors
    /// One is missing.
    pub fn find() -> Result<Self, StackError> {
        let folder = if let Some(folder) = std::env::var_os("OSS_BIN_DIR") {
            PathBuf::from(folder)
        } else {
            // target/<profile>/deps/<test> → target/<profile>
            let executable = std::env::current_exe()?;
            let mut folders = executable.ancestors().skip(1).take(2);
            folders.find(|folder| folder.join("oss").is_file()).map(Path::to_owned).unwrap_or_default()
        };
        let programs = Self { folder };
        for name in ["oss", "collector", "validator", "broadcaster"] {
            let path = programs.folder.join(name);
            if !path.is_file() {
                return Err(StackError::Binary { path });
            }
        }
        Ok(programs)
    }

    /// The command line tool.
    #[must_use]
    pub fn oss(&self) -> PathBuf {
        self.folder.join("oss")
    }

    pub(super) fn service(&self, role: Role) -> PathBuf {
        self.folder.join(role.name())
    }
}
