//! Weights on their way to a device: checked, and in one of four layouts.

use std::borrow::Cow;
use std::path::Path;

use super::encode::{OutOfRange, encode, q4_from_q4_0};
use super::{BlockFormat, Dtype, TensorView, dequantize};
use crate::error::{Error, Result};

/// A weight matrix `[rows, cols]` whose every value is finite.
#[derive(Clone, Debug)]
pub struct Matrix<'a> {
    /// Outputs of a linear layer.
    pub rows: usize,
    /// Inputs of a linear layer; whole blocks of 32 in q8 and q4.
    pub cols: usize,
    /// The layout of `bytes`.
    pub dtype: Dtype,
    /// The rows one after another, no padding; borrowed from the file where it already
    /// holds this layout.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Matrix<'a> {
    /// The same with its own copy of the bytes.
    pub fn into_owned(self) -> Matrix<'static> {
        Matrix {
            rows: self.rows,
            cols: self.cols,
            dtype: self.dtype,
            bytes: Cow::Owned(self.bytes.into_owned()),
        }
    }

    /// Brings a tensor of one or two dimensions into the layout of `dtype`; a vector
    /// becomes one row. `path` is the checkpoint, for messages.
    ///
    /// Nothing is copied where the file has that layout, and Q4_0 becomes q4 exactly. All
    /// else is decoded and encoded row by row, to the nearest number that the layout has.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] where the shape is neither a vector nor a matrix, its rows are
    /// not whole blocks (of the file's format or of `dtype`), a value is NaN or infinite,
    /// or a value is beyond the half-precision numbers of `dtype`.
    pub fn new(path: &Path, view: TensorView<'a>, dtype: Dtype) -> Result<Matrix<'a>> {
        let source = Source::new(path, &view)?;
        let Source { rows, cols, .. } = source;
        let packed = dtype
            .layout()
            .bytes_for(cols)
            .and_then(|row| row.checked_mul(rows));
        let packed = packed.ok_or_else(|| {
            let block = dtype.layout().block_len();
            source.error(
                format!("rows of a multiple of {block} values for {dtype}"),
                source.shape(),
            )
        })?;
        let bytes = if dtype.layout() == view.format {
            source.check(&view.bytes, dtype)?;
            view.bytes
        } else {
            Cow::Owned(source.convert(&view.bytes, dtype, packed)?)
        };
        Ok(Matrix {
            rows,
            cols,
            dtype,
            bytes,
        })
    }

    /// The values, `rows * cols` of them, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.cols];
        dequantize(self.dtype.layout(), &self.bytes, &mut values);
        values
    }
}

/// What is known of a tensor while it is checked and converted.
struct Source<'a> {
    path: &'a Path,
    name: String,
    rows: usize,
    cols: usize,
    format: BlockFormat,
    row_bytes: usize,
}

impl<'a> Source<'a> {
    /// Checks that the shape is a matrix of whole blocks and that the bytes are all there.
    fn new(path: &'a Path, view: &TensorView<'_>) -> Result<Source<'a>> {
        let (rows, cols) = match view.shape[..] {
            [cols] => (1, cols),
            [rows, cols] => (rows, cols),
            _ => (0, 0),
        };
        let TensorView {
            ref name, format, ..
        } = *view;
        let source = Source {
            path,
            name: name.clone(),
            rows,
            cols,
            format,
            row_bytes: 0,
        };
        if rows == 0 || cols == 0 {
            let shape = format!("shape {:?}", view.shape);
            return Err(source.error("a matrix or a vector".into(), shape));
        }
        let row_bytes = format.bytes_for(cols).ok_or_else(|| {
            let block = format.block_len();
            source.error(
                format!("rows of a multiple of {block} values in {format}"),
                source.shape(),
            )
        })?;
        if row_bytes.checked_mul(rows) != Some(view.bytes.len()) {
            let expected = format!("{row_bytes} bytes a row of {} in {format}", source.shape());
            return Err(source.error(expected, format!("{} bytes in all", view.bytes.len())));
        }
        Ok(Source {
            row_bytes,
            ..source
        })
    }

    /// Refuses values that are not finite in bytes that already have the layout of `dtype`,
    /// at the speed of reading where there are none.
    fn check(&self, bytes: &[u8], dtype: Dtype) -> Result<()> {
        let broken = |(_, row): &(usize, &[u8])| !is_finite(dtype, row);
        let Some((row, bytes)) = bytes.chunks_exact(self.row_bytes).enumerate().find(broken) else {
            return Ok(());
        };
        let mut values = vec![0.0; self.cols];
        dequantize(self.format, bytes, &mut values);
        self.check_row(row, &values)
    }

    /// Refuses a row with a value that is not finite.
    fn check_row(&self, row: usize, values: &[f32]) -> Result<()> {
        match values.iter().position(|value| !value.is_finite()) {
            Some(col) => Err(self.value_error("finite values".into(), row, col, values[col])),
            None => Ok(()),
        }
    }

    /// The rows in the layout of `dtype`, `size` bytes.
    fn convert(&self, bytes: &[u8], dtype: Dtype, size: usize) -> Result<Vec<u8>> {
        let mut values = vec![0.0; self.cols];
        let mut packed = Vec::with_capacity(size);
        for (row, bytes) in bytes.chunks_exact(self.row_bytes).enumerate() {
            dequantize(self.format, bytes, &mut values);
            self.check_row(row, &values)?;
            match (self.format, dtype) {
                (BlockFormat::Q4_0, Dtype::Q4) => q4_from_q4_0(bytes, &mut packed),
                _ => encode(dtype, &values, &mut packed),
            }
            .map_err(|OutOfRange(col)| {
                let expected = format!("values within the half-precision range of {dtype}");
                self.value_error(expected, row, col, values[col])
            })?;
        }
        Ok(packed)
    }

    fn shape(&self) -> String {
        format!("[{}, {}]", self.rows, self.cols)
    }

    fn value_error(&self, expected: String, row: usize, col: usize, value: f32) -> Error {
        self.error(expected, format!("{value} at row {row}, column {col}"))
    }

    fn error(&self, expected: String, found: String) -> Error {
        Error::Tensor {
            path: self.path.into(),
            name: self.name.clone(),
            expected,
            found,
        }
    }
}

/// Whether an encoded row decodes to finite values: its floats are, or its blocks' scales,
/// which no 4- or 8-bit number takes beyond `f32`. Looks at bit patterns only, since a
/// model has millions of blocks.
fn is_finite(dtype: Dtype, row: &[u8]) -> bool {
    const fn half(low: u8, high: u8) -> bool {
        u16::from_le_bytes([low, high]) & 0x7C00 != 0x7C00
    }
    match dtype {
        Dtype::F32 => row
            .as_chunks()
            .0
            .iter()
            .all(|b| f32::from_le_bytes(*b).is_finite()),
        Dtype::F16 => row.as_chunks::<2>().0.iter().all(|b| half(b[0], b[1])),
        Dtype::Q8 => row.as_chunks::<34>().0.iter().all(|b| half(b[0], b[1])),
        Dtype::Q4 => row
            .as_chunks::<20>()
            .0
            .iter()
            .all(|b| half(b[0], b[1]) && half(b[2], b[3])),
    }
}

#[cfg(test)]
mod tests;
