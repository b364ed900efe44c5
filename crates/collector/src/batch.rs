//! How much one call takes out of a queue. Pure.

use std::collections::VecDeque;

use common::link::BATCH_MAX;

/// Most payload bytes in one call; a single larger payload goes alone.
pub(crate) const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Takes the next batch from the front: at most [`BATCH_MAX`] items and [`BATCH_BYTES_MAX`] payload bytes.
pub(crate) fn take<T>(waiting: &mut VecDeque<T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut sum = 0;
    let fits = waiting.iter().take(BATCH_MAX).take_while(|item| {
        sum += bytes(item);
        sum <= BATCH_BYTES_MAX
    });
    let len = fits.count().max(1).min(waiting.len());
    waiting.drain(..len).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::{BATCH_BYTES_MAX, take};

    #[test]
    fn a_batch_is_bounded_by_items_and_by_bytes_and_never_empty() {
        let mut many: VecDeque<usize> = (0..300).map(|_| 1).collect();
        assert_eq!(take(&mut many, |size| *size).len(), 256);
        assert_eq!(take(&mut many, |size| *size).len(), 44);
        assert_eq!(take(&mut many, |size| *size).len(), 0);

        let mut large: VecDeque<usize> = VecDeque::from([BATCH_BYTES_MAX + 1, BATCH_BYTES_MAX, 1]);
        assert_eq!(take(&mut large, |size| *size), [BATCH_BYTES_MAX + 1]);
        assert_eq!(take(&mut large, |size| *size), [BATCH_BYTES_MAX]);
        assert_eq!(take(&mut large, |size| *size), [1]);
    }
}
