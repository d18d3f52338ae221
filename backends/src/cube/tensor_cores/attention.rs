//! Path attention: `shaders/attention_mma.cu`.

use eaglet_core::ops::Heads;

use super::{Defines, WARPS};

/// Query heads, of rows side by side, that tensor cores take at once.
const TOGETHER: usize = 16;

/// What a kernel is compiled for. The text says what each of these means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Dimensions of a head.
    dim: usize,
    /// Key heads.
    kv: usize,
    /// Query heads that share one.
    ratio: usize,
    /// Whether each span of positions has a workgroup of its own.
    split: bool,
}

impl Variant {
    /// For a model's heads, if there is a kernel for them.
    pub fn new(heads: Heads, split: bool) -> Option<Self> {
        let ratio = heads.query / heads.kv;
        let fits = matches!(heads.dim, 64 | 128) && ratio <= TOGETHER;
        fits.then_some(Self {
            dim: heads.dim,
            kv: heads.kv,
            ratio,
            split,
        })
    }

    /// Rows that a workgroup takes on: no more than it has warps, which take branches by turns.
    pub fn rows(self) -> usize {
        (TOGETHER / self.ratio).min(WARPS)
    }

    /// The kernel's name, which says all of it.
    pub fn entry(self) -> String {
        let Self { dim, kv, ratio, .. } = self;
        let split = if self.split { "_split" } else { "" };
        format!("attention_mma_{dim}_{kv}_{ratio}{split}")
    }

    /// What the text is told.
    pub fn defines(self) -> Defines {
        vec![
            ("DIM", self.dim.to_string()),
            ("KV", self.kv.to_string()),
            ("RATIO", self.ratio.to_string()),
            ("SPLIT", u8::from(self.split).to_string()),
            ("SCALE", format!("{:?}f", 1.0 / (self.dim as f32).sqrt())),
        ]
    }
}
