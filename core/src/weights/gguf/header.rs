//! The front of a GGUF file, versions 2 and 3: what it holds and where.
//!
//! `GGUF`, version `u32`, tensor count `u64`, metadata count `u64`; the metadata (key,
//! type, value); the tensors (name, dimensions innermost first, type, offset); padding to
//! the alignment; the tensors' data, each at its offset from there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use super::cursor::Cursor;
use super::value::Value;
use crate::error::Result;
use crate::weights::rules::unsupported;
use crate::weights::{BlockFormat, TensorInfo};

/// Alignment of the data where `general.alignment` does not say otherwise.
const DEFAULT_ALIGNMENT: usize = 32;
const MAX_DIMS: u32 = 4;

/// ggml's numbers of whole 32-bit and 64-bit numbers.
const GGML_I32: u32 = 26;
pub(in crate::weights) const GGML_I64: u32 = 27;

/// A parsed header. Every range lies within the file.
pub(in crate::weights) struct Header {
    pub(in crate::weights) metadata: BTreeMap<String, Value>,
    /// In file order.
    pub(in crate::weights) tensors: Vec<TensorInfo>,
    ranges: Vec<Range<usize>>,
    by_name: HashMap<String, usize>,
    /// Tensors of whole numbers, which no model has and the vocabulary of a head is.
    pub(in crate::weights) integers: Vec<Integers>,
}

/// A tensor of whole numbers and where it lies.
pub(in crate::weights) struct Integers {
    pub(in crate::weights) name: String,
    pub(in crate::weights) shape: Vec<usize>,
    /// Bytes of each number: 4 or 8.
    pub(in crate::weights) width: usize,
    pub(in crate::weights) range: Range<usize>,
}

/// A tensor as the header declares it.
struct Declared {
    name: String,
    shape: Vec<usize>,
    encoding: Encoding,
    bytes: usize,
    /// From the start of the data.
    offset: u64,
}

#[derive(Clone, Copy)]
enum Encoding {
    Values(BlockFormat),
    Integers(usize),
}

impl Header {
    /// Parses and checks the whole header of a file of `length` bytes that begins with
    /// `front`; `None` where the header goes on behind that.
    pub(super) fn parse(path: &Path, front: &[u8], length: usize) -> Result<Option<Header>> {
        let mut cursor = Cursor::new(path, front, length);
        match Header::read(&mut cursor) {
            Err(_) if cursor.is_short() => Ok(None),
            header => header.map(Some),
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Header> {
        check_version(cursor)?;
        let tensor_count = cursor.u64("tensor count")?;
        let metadata_count = cursor.u64("metadata count")?;

        let mut metadata = BTreeMap::new();
        for _ in 0..metadata_count {
            let key = cursor.string("metadata key")?;
            let id = cursor.u32(&key)?;
            let value = Value::read(cursor, id, &key)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(cursor.invalid(format!("metadata key `{key}` occurs twice")));
            }
        }

        let (mut declared, mut names) = (Vec::new(), HashSet::new());
        for _ in 0..tensor_count {
            let tensor = read_tensor(cursor)?;
            if !names.insert(tensor.name.clone()) {
                return Err(cursor.invalid(format!("tensor `{}` occurs twice", tensor.name)));
            }
            declared.push(tensor);
        }

        let alignment = alignment(cursor, &metadata)?;
        // Cannot overflow: a slice is at most isize::MAX long, and the alignment at most 2^31.
        let start = cursor.position().next_multiple_of(alignment);
        let mut header = Header {
            metadata,
            tensors: Vec::new(),
            ranges: Vec::new(),
            by_name: HashMap::new(),
            integers: Vec::new(),
        };
        for tensor in declared {
            let range = locate(&tensor, start, alignment, cursor.length());
            header.add(tensor, range.map_err(|rule| cursor.invalid(rule))?);
        }
        Ok(header)
    }

    fn add(&mut self, tensor: Declared, range: Range<usize>) {
        let Declared {
            name, shape, bytes, ..
        } = tensor;
        match tensor.encoding {
            Encoding::Values(format) => {
                self.by_name.insert(name.clone(), self.tensors.len());
                self.tensors.push(TensorInfo {
                    name,
                    shape,
                    format,
                    bytes,
                });
                self.ranges.push(range);
            }
            Encoding::Integers(width) => self.integers.push(Integers {
                name,
                shape,
                width,
                range,
            }),
        }
    }

    /// A tensor and where its bytes are, or `None` where there is none of that name.
    pub(in crate::weights) fn tensor(&self, name: &str) -> Option<(&TensorInfo, Range<usize>)> {
        let index = *self.by_name.get(name)?;
        Some((self.tensors.get(index)?, self.ranges.get(index)?.clone()))
    }
}

fn check_version(cursor: &mut Cursor<'_>) -> Result<()> {
    let magic: [u8; 4] = cursor.array("magic")?;
    if &magic != b"GGUF" {
        let found = magic.escape_ascii();
        return Err(cursor.invalid(format!("must start with `GGUF`, found `{found}`")));
    }
    let version = cursor.u32("version")?;
    let what = match version {
        2 | 3 => return Ok(()),
        _ if matches!(version.swap_bytes(), 2 | 3) => "big-endian GGUF".into(),
        _ => format!("GGUF version {version}"),
    };
    Err(unsupported(
        cursor.path(),
        what,
        "little-endian versions 2 and 3",
    ))
}

/// One tensor's declaration.
fn read_tensor(cursor: &mut Cursor<'_>) -> Result<Declared> {
    let name = cursor.string("tensor name")?;
    let dims = cursor.u32(&name)?;
    if !(1..=MAX_DIMS).contains(&dims) {
        let rule = format!("tensor `{name}` must have 1 to {MAX_DIMS} dimensions, found {dims}");
        return Err(cursor.invalid(rule));
    }
    let mut shape = Vec::new();
    for _ in 0..dims {
        let dim = cursor.u64(&name)?;
        match usize::try_from(dim) {
            Ok(dim) if dim > 0 => shape.push(dim),
            _ => return Err(cursor.invalid(format!("tensor `{name}` has a dimension of {dim}"))),
        }
    }
    let (row, id) = (shape[0], cursor.u32(&name)?);
    shape.reverse();
    let encoding = encoding(id).ok_or_else(|| {
        let what = format!("tensor `{name}`: ggml type {id}");
        unsupported(cursor.path(), what, BlockFormat::names())
    })?;
    let rows = shape
        .iter()
        .rev()
        .skip(1)
        .try_fold(1usize, |rows, dim| rows.checked_mul(*dim));
    let row = match encoding {
        Encoding::Values(format) => format.bytes_for(row),
        Encoding::Integers(width) => row.checked_mul(width),
    };
    let bytes = row.zip(rows).and_then(|(row, rows)| row.checked_mul(rows));
    let bytes = bytes.ok_or_else(|| {
        let rule = match encoding {
            Encoding::Values(format) => {
                let block = format.block_len();
                format!("is not rows of whole blocks of {block} values in {format}, or")
            }
            Encoding::Integers(_) => "is".into(),
        };
        cursor.invalid(format!("tensor `{name}`: {shape:?} {rule} too large"))
    })?;
    let offset = cursor.u64(&name)?;
    Ok(Declared {
        name,
        shape,
        encoding,
        bytes,
        offset,
    })
}

fn encoding(id: u32) -> Option<Encoding> {
    match id {
        GGML_I32 => Some(Encoding::Integers(4)),
        GGML_I64 => Some(Encoding::Integers(8)),
        _ => BlockFormat::from_gguf_id(id).map(Encoding::Values),
    }
}

fn alignment(cursor: &Cursor<'_>, metadata: &BTreeMap<String, Value>) -> Result<usize> {
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    match value {
        Value::U32(alignment) if alignment.is_power_of_two() => Ok(*alignment as usize),
        _ => Err(cursor.invalid(format!(
            "general.alignment must be a u32 and a power of two, found {}",
            value.brief()
        ))),
    }
}

/// Where a tensor lies in a file of `length` bytes whose data begin at `start`.
fn locate(
    tensor: &Declared,
    start: usize,
    alignment: usize,
    length: usize,
) -> Result<Range<usize>, String> {
    let Declared {
        name,
        bytes,
        offset,
        ..
    } = tensor;
    if !offset.is_multiple_of(alignment as u64) {
        return Err(format!(
            "tensor `{name}` must start at a multiple of {alignment}, found offset {offset}"
        ));
    }
    let begin = usize::try_from(*offset)
        .ok()
        .and_then(|offset| start.checked_add(offset));
    let range = begin.and_then(|begin| Some(begin..begin.checked_add(*bytes)?));
    range.filter(|range| range.end <= length).ok_or_else(|| {
        format!(
            "truncated: tensor `{name}` needs {bytes} bytes at {start} + {offset}, \
             the file has {length}"
        )
    })
}
