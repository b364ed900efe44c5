//! Lines out of chunks of bytes, as they come. Pure. Holds at most one line and one chunk.

/// Most bytes of one line, without its end.
pub(super) const LINE_BYTES_MAX: usize = common::request::limits::BODY_BYTES_MAX;

/// One line that says something, with its number from 1 on. Blank lines count but are not given out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    /// `None`: longer than [`LINE_BYTES_MAX`]; it is passed over.
    pub(super) text: Option<Vec<u8>>,
}

/// What has come of a body and is not given out yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// What lies before has been given out.
    start: usize,
    /// Up to here there is no end of a line.
    searched: usize,
    /// Lines that have ended.
    ended: u64,
    /// The line at hand is too long, which has been said.
    is_passed_over: bool,
}

impl Lines {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(chunk);
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            let rest = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(position) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                return self.too_long();
            };
            let end = self.searched + position;
            let text = self.bytes.get(self.start..end).unwrap_or_default();
            let line = line(self.ended + 1, text);
            (self.start, self.searched) = (end + 1, end + 1);
            self.ended += 1;
            if !std::mem::take(&mut self.is_passed_over) && line.is_some() {
                return line;
            }
        }
    }

    /// Says once that the line at hand is too long, and keeps nothing of it.
    fn too_long(&mut self) -> Option<Line> {
        if self.bytes.len() - self.start <= LINE_BYTES_MAX + 1 && !self.is_passed_over {
            return None;
        }
        self.start = self.bytes.len();
        let is_said = std::mem::replace(&mut self.is_passed_over, true);
        (!is_said).then_some(Line { number: self.ended + 1, text: None })
    }

    /// The last line, if the body did not end with one's end.
    pub(super) fn rest(&mut self) -> Option<Line> {
        let text = self.bytes.get(self.start..).unwrap_or_default();
        let line = line(self.ended + 1, text).filter(|_| !self.is_passed_over);
        self.start = self.bytes.len();
        line
    }
}

/// `None` if it is blank.
fn line(number: u64, text: &[u8]) -> Option<Line> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    Some(Line { number, text: (text.len() <= LINE_BYTES_MAX).then(|| text.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES_MAX, Line, Lines};

    /// What comes out of a body cut into chunks of a size.
    fn cut(body: &[u8], size: usize) -> Vec<(u64, Option<usize>)> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for chunk in body.chunks(size) {
            lines.push(chunk);
            out.extend(std::iter::from_fn(|| lines.next()));
            assert!(lines.bytes.len() <= LINE_BYTES_MAX + 1 + size, "what is kept is bounded");
        }
        out.extend(lines.rest());
        out.into_iter().map(|Line { number, text }| (number, text.map(|text| text.len()))).collect()
    }

    #[test]
    fn lines_are_the_same_however_the_body_is_cut_and_blank_ones_count() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        let body = format!("a\n\n  \r\nbc\r\n{longest}\n{longest}y\nd\n{longest}{longest}\ne\n{longest}yy");
        let expected = [
            (1, Some(1)),
            (4, Some(2)),
            (5, Some(LINE_BYTES_MAX)),
            (6, None),
            (7, Some(1)),
            (8, None),
            (9, Some(1)),
            (10, None),
        ];
        for size in [1_000, 4_096, 65_535, 65_536, 65_537, 1_000_000] {
            assert_eq!(cut(body.as_bytes(), size), expected, "chunks of {size}");
        }
        let short = b"a\n\nb\r\nc";
        for size in 1..short.len() {
            assert_eq!(cut(short, size), [(1, Some(1)), (3, Some(1)), (4, Some(1))], "chunks of {size}");
        }
        assert_eq!(cut(b"", 1), []);
    }
}
