//! Taking a checkpoint of a view, and filling an empty view from the newest one that holds.

use super::{CheckpointError, Folder, Found, Reader};
use crate::view::{HeadRow, View};

/// Files kept: the newest, and one to fall back on.
const KEPT: usize = 2;

/// Writes a checkpoint of the view's present moment and forgets older ones; `None` = the view is empty. `go_on` is
/// asked before every row.
///
/// # Errors
/// See [`CheckpointError`]; the checkpoints are those that there were.
pub(crate) fn write(
    view: &View,
    folder: &Folder,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Found>, CheckpointError> {
    let snapshot = view.snapshot()?;
    let Some(header) = view.checkpoint_header(&snapshot)? else { return Ok(None) };
    let rows = header.clone();
    let written = folder.write(header, |out| snapshot.write_rows(&rows, out, go_on))?;
    folder.keep(KEPT)?;
    Ok(Some(written))
}

/// Fills the empty view from the newest checkpoint that may be taken and holds; gives what the view then stands at, and
/// what was wrong with newer ones. The view is empty as before if there is none.
///
/// # Errors
/// The folder or the database cannot be used.
pub(crate) fn restore(
    view: &View,
    folder: &Folder,
) -> Result<(Option<HeadRow>, Vec<CheckpointError>), CheckpointError> {
    let (found, mut refused) = folder.list()?;
    for Found { path, hash, .. } in found {
        match Reader::open(&path, hash).and_then(|file| view.restore(file)) {
            Ok(head) => return Ok((Some(head), refused)),
            // The database's fault, not the file's.
            Err(error @ CheckpointError::View(_)) => return Err(error),
            Err(error) => refused.push(error),
        }
    }
    Ok((None, refused))
}
