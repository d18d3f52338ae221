//! The four layouts in which weights sit in memory.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::BlockFormat;
use crate::error::Error;

/// How weights sit in memory. Accumulation is in `f32` whatever this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Single precision, little-endian, row-major.
    F32,
    /// Half precision, little-endian, row-major.
    F16,
    /// Blocks of 32 along a row: f16 scale `d`, 32 signed bytes `q`; 34 bytes; `w = d * q`.
    Q8,
    /// Blocks of 32 along a row: f16 scale `d`, f16 minimum `m`, 16 bytes of nibbles `q`
    /// (byte `j`: value `j` low, value `j + 16` high); 20 bytes; `w = d * q + m`.
    Q4,
}

impl Dtype {
    /// Every layout, smallest last.
    pub const ALL: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Q8, Dtype::Q4];

    /// The layout that keeps the precision of a file's format at the least memory.
    pub const fn natural(format: BlockFormat) -> Dtype {
        match format {
            BlockFormat::F32 => Dtype::F32,
            BlockFormat::F16 | BlockFormat::BF16 => Dtype::F16,
            BlockFormat::Q4_0 | BlockFormat::Q4_1 | BlockFormat::Q4K => Dtype::Q4,
            BlockFormat::Q5_0
            | BlockFormat::Q5_1
            | BlockFormat::Q5K
            | BlockFormat::Q6K
            | BlockFormat::Q8_0 => Dtype::Q8,
        }
    }

    /// The block format with these very bytes: a tensor in it needs no conversion.
    pub const fn layout(self) -> BlockFormat {
        match self {
            Dtype::F32 => BlockFormat::F32,
            Dtype::F16 => BlockFormat::F16,
            Dtype::Q8 => BlockFormat::Q8_0,
            Dtype::Q4 => BlockFormat::Q4_1,
        }
    }

    /// The name in options and reports.
    const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Q8 => "q8",
            Dtype::Q4 => "q4",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Parses `f32`, `f16`, `q8` or `q4`; anything else is an [`Error::Invalid`].
impl FromStr for Dtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Dtype, Error> {
        let known = Dtype::ALL.into_iter().find(|dtype| dtype.name() == text);
        known.ok_or_else(|| {
            let names = Dtype::ALL.map(Dtype::name).join(", ");
            Error::Invalid(format!("unknown weight type `{text}`; use one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_serialize_alike() {
        for dtype in Dtype::ALL {
            assert_eq!(dtype.to_string().parse::<Dtype>().unwrap(), dtype);
            assert_eq!(
                serde_json::to_string(&dtype).unwrap(),
                format!("\"{dtype}\"")
            );
        }
        let message = "q5".parse::<Dtype>().unwrap_err().to_string();
        assert_eq!(
            message,
            "unknown weight type `q5`; use one of f32, f16, q8, q4"
        );
    }

    #[test]
    fn a_layout_is_its_own_natural_type() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::natural(dtype.layout()), dtype);
        }
    }
}
