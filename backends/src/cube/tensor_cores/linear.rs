//! Linear layers: `shaders/linear_mma.cu`.

use super::Defines;
use crate::cube::decode::Storage;

/// Rows that tensor cores take at once.
const TOGETHER: usize = 8;
/// Tiles of so many rows that a workgroup takes on at most.
const TILES: usize = 4;

/// What a kernel is compiled for. The text says what each of these means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// How weights are read; numbers are f16.
    pub storage: Storage,
    /// How the work is cut.
    pub cut: Cut,
    /// Whether `x` goes through an RMS norm first.
    pub norm: bool,
    /// Whether a bias is added.
    pub bias: bool,
    /// Whether a residual is added.
    pub residual: bool,
    /// Whether the first half of the outputs gates the second.
    pub gate: bool,
}

/// How much a workgroup takes on, and what it holds meanwhile: for speed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Whether there is one row only.
    pub single: bool,
    /// Tiles of 8 rows.
    pub tiles: usize,
    /// Groups of 16 sums.
    pub groups: usize,
    /// Blocks of weights that are underway to each warp.
    pub stages: usize,
    /// Workgroups that share a processor's registers.
    pub resident: usize,
}

impl Cut {
    /// For so many rows and sums of each, of which half gate the others or none do, as was
    /// fastest on an H200 (docs/performance.md). Narrow layers want many workgroups, many rows
    /// few, and small weights have to be sent for long before.
    pub fn new(storage: Storage, rows: usize, sums: usize, gate: bool) -> Self {
        let (width, float) = (sums / 8192, storage == Storage::Float);
        let tiles = match (rows, width) {
            (25..=32, 0 | 1) => 2, // Two workgroups read weights at about the same time.
            _ => rows.div_ceil(TOGETHER).min(TILES),
        };
        let (groups, stages, resident) = match (rows, tiles, width) {
            (25.., 2, _) => (4, if float { 1 } else { 2 }, 1),
            (1, _, 0) if float && !gate => (1, 4, 2),
            (1, _, 1) if float && !gate => (1, 2, 3),
            (1, ..) if float => (2, 2, 2),
            (_, 1, 1..) if float => (2, 1, 3),
            (_, 1 | 2, 0) if float => (2, 2, 2),
            (1, _, 2..) if storage == Storage::Q4 => (4, 2, 2),
            (_, 1, 0) | (1, ..) if storage == Storage::Q4 => (2, 4, 2),
            (_, 1, 0 | 1) | (_, 2, 0) | (1, ..) => (2, 2, 2),
            (.., 0) => (2, 2, 1),
            _ if float => (4, 1, 1),
            _ => (4, 2, 1),
        };
        Self {
            single: rows == 1,
            tiles,
            groups,
            stages,
            resident,
        }
    }
}

#[cfg(test)]
impl Cut {
    /// Every cut, with rows that it is for.
    pub fn all(storage: Storage, gate: bool) -> Vec<(usize, Self)> {
        let rows = (0..=TILES).map(|tiles| (tiles * TOGETHER).max(1) - usize::from(tiles > 0));
        let mut all = Vec::new();
        for rows in rows {
            for sums in [0, 8192, 16384] {
                let cut = (rows, Self::new(storage, rows, sums, gate));
                if !all.contains(&cut) {
                    all.push(cut);
                }
            }
        }
        all
    }
}

impl Variant {
    /// The rows that one workgroup takes on.
    pub fn rows(self) -> usize {
        TOGETHER * self.cut.tiles
    }

    /// The outputs that one workgroup makes for each.
    pub fn results(self) -> usize {
        16 * self.cut.groups / if self.gate { 2 } else { 1 }
    }

    /// The kernel's name, which says all of it.
    pub fn entry(self) -> String {
        let Cut {
            single,
            tiles,
            groups,
            stages,
            resident,
        } = self.cut;
        let marks = [
            (self.norm, "_norm"),
            (self.bias, "_bias"),
            (self.residual, "_residual"),
            (self.gate, "_gate"),
        ];
        let marks = marks.iter().filter(|(there, _)| *there);
        let marks: String = marks.map(|(_, mark)| *mark).collect();
        let storage = format!("{:?}", self.storage).to_lowercase();
        let rows = if single { 1 } else { TOGETHER * tiles };
        format!("linear_mma_{storage}_{rows}_{groups}{stages}{resident}{marks}")
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
            ("SINGLE", self.cut.single.into()),
            ("TILES", self.cut.tiles),
            ("GROUPS", self.cut.groups),
            ("STAGES", self.cut.stages),
            ("RESIDENT", self.cut.resident),
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
