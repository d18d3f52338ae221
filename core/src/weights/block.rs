//! Block formats: how a checkpoint encodes values, and how many bytes that takes.

use std::fmt;

/// An encoding of values in blocks, as ggml defines and numbers them.
///
/// Plain floats count as blocks of one value. The layouts are in
/// [`dequantize`](super::dequantize).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockFormat {
    /// IEEE single precision, little-endian.
    F32,
    /// IEEE half precision, little-endian.
    F16,
    /// The upper half of an `F32`, little-endian.
    BF16,
    /// 4 bits around zero: `d * (q - 8)`.
    Q4_0,
    /// 4 bits from a minimum: `d * q + m`.
    Q4_1,
    /// 5 bits around zero: `d * (q - 16)`.
    Q5_0,
    /// 5 bits from a minimum: `d * q + m`.
    Q5_1,
    /// Signed bytes: `d * q`.
    Q8_0,
    /// 4 bits in 8 sub-blocks, each with a 6-bit scale and minimum.
    Q4K,
    /// 5 bits in 8 sub-blocks, each with a 6-bit scale and minimum.
    Q5K,
    /// 6 bits in 16 sub-blocks, each with an 8-bit scale.
    Q6K,
}

/// One row of the table of formats.
struct Spec {
    gguf_id: u32,
    name: &'static str,
    values: usize,
    bytes: usize,
}

impl BlockFormat {
    /// Every format, for listing and searching.
    pub const ALL: [BlockFormat; 11] = [
        BlockFormat::F32,
        BlockFormat::F16,
        BlockFormat::BF16,
        BlockFormat::Q4_0,
        BlockFormat::Q4_1,
        BlockFormat::Q5_0,
        BlockFormat::Q5_1,
        BlockFormat::Q8_0,
        BlockFormat::Q4K,
        BlockFormat::Q5K,
        BlockFormat::Q6K,
    ];

    const fn spec(self) -> Spec {
        let (gguf_id, name, values, bytes) = match self {
            BlockFormat::F32 => (0, "F32", 1, 4),
            BlockFormat::F16 => (1, "F16", 1, 2),
            BlockFormat::Q4_0 => (2, "Q4_0", 32, 18),
            BlockFormat::Q4_1 => (3, "Q4_1", 32, 20),
            BlockFormat::Q5_0 => (6, "Q5_0", 32, 22),
            BlockFormat::Q5_1 => (7, "Q5_1", 32, 24),
            BlockFormat::Q8_0 => (8, "Q8_0", 32, 34),
            BlockFormat::Q4K => (12, "Q4_K", 256, 144),
            BlockFormat::Q5K => (13, "Q5_K", 256, 176),
            BlockFormat::Q6K => (14, "Q6_K", 256, 210),
            BlockFormat::BF16 => (30, "BF16", 1, 2),
        };
        Spec {
            gguf_id,
            name,
            values,
            bytes,
        }
    }

    /// Values in one block.
    pub const fn block_len(self) -> usize {
        self.spec().values
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        self.spec().bytes
    }

    /// Bytes that encode `elements` values, or `None` where those are not whole blocks
    /// or the size overflows.
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        if !elements.is_multiple_of(self.block_len()) {
            return None;
        }
        (elements / self.block_len()).checked_mul(self.block_bytes())
    }

    /// The number of this format in GGUF files (`ggml_type`).
    pub const fn gguf_id(self) -> u32 {
        self.spec().gguf_id
    }

    /// The format of a GGUF number, or `None` for those that are not read here.
    pub fn from_gguf_id(id: u32) -> Option<BlockFormat> {
        BlockFormat::ALL
            .into_iter()
            .find(|format| format.gguf_id() == id)
    }

    /// The names of all formats, for messages: `F32, F16, ..`.
    pub(super) fn names() -> String {
        BlockFormat::ALL.map(|format| format.spec().name).join(", ")
    }
}

/// The usual name: `Q4_1`, `Q4_K`.
impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.spec().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_blocks_or_none() {
        assert_eq!(BlockFormat::Q4_1.bytes_for(64), Some(40));
        assert_eq!(BlockFormat::Q6K.bytes_for(512), Some(420));
        assert_eq!(BlockFormat::Q4_1.bytes_for(0), Some(0));
        assert_eq!(BlockFormat::Q4_1.bytes_for(33), None);
        assert_eq!(BlockFormat::F32.bytes_for(usize::MAX), None);
    }

    #[test]
    fn ids_map_back_to_their_format() {
        for format in BlockFormat::ALL {
            assert_eq!(BlockFormat::from_gguf_id(format.gguf_id()), Some(format));
        }
        assert_eq!(BlockFormat::from_gguf_id(4), None, "Q4_2 was withdrawn");
    }

    #[test]
    fn names_are_the_usual_ones() {
        assert_eq!(BlockFormat::Q4K.to_string(), "Q4_K");
        assert!(BlockFormat::names().starts_with("F32, F16, BF16, Q4_0"));
    }
}
