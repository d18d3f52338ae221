//! Linear layers: `shaders/linear_mma.cu`.

use super::Defines;
use crate::cube::decode::Storage;

/// What a kernel is compiled for. The text says what each of these means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// How weights are read; numbers are f16.
    pub storage: Storage,
    /// Tiles of 16 rows: 1 or 2.
    pub tiles: usize,
    /// Whether `x` goes through an RMS norm first.
    pub norm: bool,
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether a residual is added.
    pub residual: bool,
    /// Whether the first half of the outputs gates the second.
    pub gate: bool,
}

impl Variant {
    /// The rows that one workgroup takes on.
    pub fn rows(self) -> usize {
        16 * self.tiles
    }

    /// The outputs that one workgroup makes for each.
    pub fn results(self) -> usize {
        8 * self.columns() / if self.gate { 2 } else { 1 }
    }

    /// Octets of sums. Few rows want many workgroups, many rows to be read seldom.
    fn columns(self) -> usize {
        4 * self.tiles
    }

    /// The kernel's name, which says all of it.
    pub fn entry(self) -> String {
        let marks = [
            (self.norm, "_norm"),
            (self.bias, "_bias"),
            (self.residual, "_residual"),
            (self.gate, "_gate"),
        ];
        let marks = marks.iter().filter(|(there, _)| *there);
        let marks: String = marks.map(|(_, mark)| *mark).collect();
        let storage = format!("{:?}", self.storage).to_lowercase();
        format!("linear_mma_{storage}_{}{marks}", self.rows())
    }

    /// What the text is told.
    pub fn defines(self) -> Defines {
        let storage = match self.storage {
            Storage::Float => 0,
            Storage::Q8 => 1,
            Storage::Q4 => 2,
        };
        let defines = [
            ("STORAGE", storage),
            ("TILES", self.tiles),
            ("COLUMNS", self.columns()),
            ("NORM", self.norm.into()),
            ("BIAS", self.bias.into()),
            ("RESIDUAL", self.residual.into()),
            ("GATE", self.gate.into()),
        ];
        defines
            .map(|(name, value)| (name, value.to_string()))
            .into()
    }
}

/// Sizes of a launch, as the text has them.
pub struct Sizes {
    /// Rows of `x`.
    pub rows: usize,
    /// Its columns.
    pub inputs: usize,
    /// Rows of this part of the weight.
    pub outputs: usize,
    /// Where they begin among the columns of the result.
    pub first: usize,
    /// Columns of the result.
    pub width: usize,
    /// Added to the mean square by the norm.
    pub epsilon: f32,
}

impl Sizes {
    /// The kernel's last argument.
    pub fn words(&self) -> Vec<u64> {
        let all = [self.rows, self.inputs, self.outputs, self.first, self.width];
        let all = all.into_iter().map(|size| size as u64);
        all.chain([u64::from(self.epsilon.to_bits())]).collect()
    }
}
