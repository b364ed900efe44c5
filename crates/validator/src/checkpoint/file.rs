//! The file of a checkpoint, row by row.
//!
//! One zstd frame over: [`MAGIC`], the header (borsh, behind its length), rows, the end. A row is the table (u8), key and
//! value, each behind its length; the end is a zero byte and the number of rows (u64). Lengths are u32, numbers
//! little endian. Rows come in ascending order of table and key. At most one row is in memory at a time.

use std::fs::File;
use std::io::{BufReader, BufWriter, Error, ErrorKind, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use borsh::BorshDeserialize as _;
use common::hash::Digest;
use sha2::{Digest as _, Sha256};

use super::{CheckpointError, Header, MAGIC, Table};

/// Compression level: zstd's own default.
const LEVEL: i32 = 3;
const HEADER_BYTES_MAX: usize = 4 << 20;
const KEY_BYTES_MAX: usize = 4 << 10;
const VALUE_BYTES_MAX: usize = 256 << 20;
/// Bytes hashed at a time.
const CHUNK: usize = 1 << 16;

/// Writes a file; what is written counts only after [`Writer::finish`].
pub(crate) struct Writer {
    path: PathBuf,
    out: zstd::Encoder<'static, Hashed<BufWriter<File>>>,
    rows: u64,
}

/// One row of a table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Reads a file whose hash was compared with its name.
pub(crate) struct Reader {
    path: PathBuf,
    header: Header,
    input: zstd::Decoder<'static, BufReader<File>>,
    rows: u64,
    last: Option<(Table, Vec<u8>)>,
}

struct Hashed<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl Writer {
    /// Makes the file and writes the header.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn create(path: &Path, header: &Header) -> Result<Self, CheckpointError> {
        let made = || {
            let out = Hashed { inner: BufWriter::new(File::create(path)?), hasher: Sha256::new() };
            let mut out = zstd::Encoder::new(out, LEVEL)?;
            out.write_all(MAGIC)?;
            write_bytes(&mut out, &common::state::encode(header), HEADER_BYTES_MAX)?;
            Ok(Self { path: path.to_owned(), out, rows: 0 })
        };
        made().map_err(|source| CheckpointError::Io { path: path.to_owned(), source })
    }

    /// Writes the next row.
    ///
    /// # Errors
    /// The file cannot be written, or the row is larger than a reader takes.
    pub(crate) fn row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), CheckpointError> {
        self.rows += 1;
        let written = self
            .out
            .write_all(&[table.tag()])
            .and_then(|()| write_bytes(&mut self.out, key, KEY_BYTES_MAX))
            .and_then(|()| write_bytes(&mut self.out, value, VALUE_BYTES_MAX));
        written.map_err(|source| CheckpointError::Io { path: self.path.clone(), source })
    }

    /// Writes the end and fsyncs; gives the file's hash.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(self) -> Result<Digest, CheckpointError> {
        let Self { path, mut out, rows } = self;
        let finish = || {
            out.write_all(&[0])?;
            out.write_all(&rows.to_le_bytes())?;
            let Hashed { inner, hasher } = out.finish()?;
            inner.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            Ok(Digest(hasher.finalize().into()))
        };
        finish().map_err(|source| CheckpointError::Io { path, source })
    }
}

impl Reader {
    /// Reads all of the file for its hash, then its header.
    ///
    /// # Errors
    /// The file cannot be read, has another hash, or does not begin as a checkpoint does.
    pub(crate) fn open(path: &Path, hash: Digest) -> Result<Self, CheckpointError> {
        let hashed = || {
            let mut file = File::open(path)?;
            let found = hash_of(&mut file)?;
            file.rewind()?;
            Ok((file, found))
        };
        let (file, found) =
            hashed().map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        if found != hash {
            return Err(CheckpointError::Hash { path: path.to_owned(), found });
        }
        Self::begin(path, file)
    }

    /// Reads the header without a look at the rest, for lists.
    ///
    /// # Errors
    /// The file cannot be read or does not begin as a checkpoint does.
    pub(crate) fn header_of(path: &Path) -> Result<Header, CheckpointError> {
        let file =
            File::open(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        Ok(Self::begin(path, file)?.header)
    }

    fn begin(path: &Path, file: File) -> Result<Self, CheckpointError> {
        let begin = || {
            let mut input = zstd::Decoder::new(file)?;
            let mut magic = [0; MAGIC.len()];
            input.read_exact(&mut magic)?;
            if magic != *MAGIC {
                return Err(Error::new(ErrorKind::InvalidData, "it begins as something else"));
            }
            let header = Header::try_from_slice(&read_bytes(&mut input, HEADER_BYTES_MAX)?)?;
            Ok((input, header))
        };
        let (input, header) =
            begin().map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), header, input, rows: 0, last: None })
    }

    #[must_use]
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next row; `None` = the file has ended as it should.
    ///
    /// # Errors
    /// The file ends early, goes on after its end, or its rows are not in order.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, CheckpointError> {
        let Some(table) = self.table()? else { return Ok(None) };
        let row = self.bytes(KEY_BYTES_MAX).and_then(|key| Ok((key, self.bytes(VALUE_BYTES_MAX)?)));
        let (key, value) = row?;
        let place = (table, key.clone());
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return Err(self.form("its rows are not in order"));
        }
        self.last = Some(place);
        self.rows += 1;
        Ok(Some(Row { table, key, value }))
    }

    /// What is wrong with the content.
    #[must_use]
    pub(crate) fn form(&self, what: &'static str) -> CheckpointError {
        CheckpointError::Form { path: self.path.clone(), what }
    }

    fn table(&mut self) -> Result<Option<Table>, CheckpointError> {
        let mut tag = [0];
        self.exact(&mut tag)?;
        if tag == [0] {
            let mut rows = [0; 8];
            self.exact(&mut rows)?;
            if u64::from_le_bytes(rows) != self.rows {
                return Err(self.form("it has another number of rows than it says"));
            }
            return match self.input.read(&mut [0]) {
                Ok(0) => Ok(None),
                Ok(_) => Err(self.form("it goes on after its end")),
                Err(source) => Err(self.io(source)),
            };
        }
        Table::of_tag(tag[0]).map(Some).ok_or_else(|| self.form("it has a table that is not known"))
    }

    fn bytes(&mut self, max: usize) -> Result<Vec<u8>, CheckpointError> {
        read_bytes(&mut self.input, max).map_err(|source| self.io(source))
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), CheckpointError> {
        self.input.read_exact(bytes).map_err(|source| self.io(source))
    }

    fn io(&self, source: Error) -> CheckpointError {
        CheckpointError::Io { path: self.path.clone(), source }
    }
}

fn hash_of(file: &mut File) -> std::io::Result<Digest> {
    let (mut hasher, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Digest(hasher.finalize().into())),
            read => hasher.update(&chunk[..read]),
        }
    }
}

fn write_bytes(out: &mut impl Write, bytes: &[u8], max: usize) -> std::io::Result<()> {
    let len = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= max);
    let len =
        len.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a row is larger than a reader takes"))?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(bytes)
}

fn read_bytes(input: &mut impl Read, max: usize) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if len as usize > max {
        return Err(Error::new(ErrorKind::InvalidData, "a row is larger than any can be"));
    }
    // Grows as bytes come: a length alone takes no memory.
    let mut bytes = Vec::new();
    input.take(u64::from(len)).read_to_end(&mut bytes)?;
    if bytes.len() < len as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}
