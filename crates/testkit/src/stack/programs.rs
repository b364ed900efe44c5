//! Where the real binaries are: `OSS_BIN_DIR`, else the folder above the test executable's.

use std::path::{Path, PathBuf};

use super::{Role, StackError};

/// The four binaries, all found.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    pub(super) fn find() -> Result<Self, StackError> {
        let folder = match std::env::var_os("OSS_BIN_DIR") {
            Some(folder) => PathBuf::from(folder),
            // target/<profile>/deps/<test> → target/<profile>
            None => std::env::current_exe()?.ancestors().nth(2).map(Path::to_owned).unwrap_or_default(),
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
