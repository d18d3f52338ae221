//! Linear layers: `shaders/linear.cuh`, and a kernel for few rows and one for many.

use super::Defines;
use crate::cube::decode::Storage;

/// Rows that the kernel for few takes at once.
const FEW: usize = 8;
/// Rows of a tile of the kernel for many, and tiles that a workgroup takes on at most.
const TOGETHER: usize = 16;
const TILES: usize = 2;
/// Warps of a workgroup that make outputs side by side, where there are many rows.
const ACROSS: usize = 4;
/// Processors of an H100 on which clusters of four find room, for which work is cut.
const PROCESSORS: usize = 128;

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
    /// The rows that it takes on.
    pub rows: Rows,
    /// Groups of 16 sums of a warp.
    pub groups: usize,
    /// Blocks of weights that are underway to each warp.
    pub stages: usize,
    /// Workgroups that share a processor's registers.
    pub resident: usize,
}

/// Rows that a workgroup takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One, and there is no other.
    One,
    /// Up to 8.
    Few,
    /// So many tiles of 16, and workgroups that share the slices of their sums.
    Many { tiles: usize, cluster: usize },
}

/// What is asked of a layer, on what device.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// How weights are read.
    pub storage: Storage,
    /// Rows of `x`.
    pub rows: usize,
    /// Sums of each, of this part of the weight.
    pub sums: usize,
    /// Whether half of these gate the others.
    pub gate: bool,
    /// Whether workgroups can see each other's memory: from compute capability 9.0 on.
    pub clusters: bool,
}

impl Cut {
    /// Of few rows as was fastest on an H200 (docs/performance.md): narrow layers want many
    /// workgroups, and small weights have to be sent for long before. Of many as registers
    /// allow, counted by the compiler.
    pub fn new(work: Work) -> Self {
        if work.rows > FEW {
            return Self::many(work);
        }
        let (width, float) = (work.sums / 8192, work.storage == Storage::Float);
        let rows = if work.rows == 1 { Rows::One } else { Rows::Few };
        let (groups, stages, resident) = match (rows, width) {
            (Rows::One, 0) if float && !work.gate => (1, 4, 2),
            (Rows::One, 1) if float && !work.gate => (1, 2, 3),
            (Rows::One, _) if float => (2, 2, 2),
            (_, 1..) if float => (2, 1, 3),
            (_, 0) if float => (2, 2, 2),
            (Rows::One, 2..) if work.storage == Storage::Q4 => (4, 2, 2),
            (Rows::One, _) | (_, 0) if work.storage == Storage::Q4 => (2, 4, 2),
            (Rows::One, _) | (_, 0 | 1) => (2, 2, 2),
            _ => (4, 2, 1),
        };
        Self {
            rows,
            groups,
            stages,
            resident,
        }
    }

    fn many(work: Work) -> Self {
        let tiles = work.rows.div_ceil(TOGETHER).min(TILES);
        let workgroups = |groups: usize| {
            work.sums.div_ceil(16 * ACROSS * groups) * work.rows.div_ceil(TOGETHER * tiles)
        };
        // Where slices cannot be shared, narrow layers are for more, smaller workgroups.
        let narrow = !work.clusters && !work.gate && workgroups(2) <= PROCESSORS / 2;
        let groups = if narrow { 1 } else { 2 };
        let resident = if narrow || tiles == 1 { 2 } else { 1 };
        let cluster = match work.clusters {
            true => shares(workgroups(groups), PROCESSORS * resident),
            false => 1,
        };
        let stages = match resident {
            1 if work.storage != Storage::Float => 3,
            _ => 2,
        };
        Self {
            rows: Rows::Many { tiles, cluster },
            groups,
            stages,
            resident,
        }
    }
}

/// Into how many parts each of `workgroups` is cut, of which `places` run at a time: as many as
/// make the turns shortest, of which each has a beginning and an end of its own.
fn shares(workgroups: usize, places: usize) -> usize {
    /// What these take, in parts of a whole turn's time.
    const ENDS: f64 = 0.08;
    let time = |shares: usize| {
        let turns = (workgroups * shares).div_ceil(places);
        turns as f64 * (1.0 / shares as f64 + ENDS)
    };
    let all = [1, 2, 4].into_iter();
    all.min_by(|&a, &b| time(a).total_cmp(&time(b)))
        .unwrap_or(1)
}

#[cfg(test)]
impl Cut {
    /// Every cut, with rows that it is for.
    pub fn all(storage: Storage, gate: bool) -> Vec<(usize, Self)> {
        let mut all = Vec::new();
        let rows = [1, FEW - 1, TOGETHER - 1, TOGETHER * TILES - 1];
        for (rows, clusters) in rows
            .into_iter()
            .flat_map(|rows| [(rows, false), (rows, true)])
        {
            for sums in [0, 8192, 12288, 16384, 22016] {
                let work = Work {
                    storage,
                    rows,
                    sums,
                    gate,
                    clusters,
                };
                let cut = (rows, Self::new(work));
                if !all.contains(&cut) {
                    all.push(cut);
                }
            }
        }
        all
    }

    /// Whether a device has what it takes.
    pub fn suits(self, clusters: bool) -> bool {
        clusters || !matches!(self.rows, Rows::Many { cluster: 2.., .. })
    }
}

impl Variant {
    /// The rows that one workgroup takes on.
    pub fn rows(self) -> usize {
        match self.cut.rows {
            Rows::One => 1,
            Rows::Few => FEW,
            Rows::Many { tiles, .. } => TOGETHER * tiles,
        }
    }

    /// The outputs that one workgroup makes for each.
    pub fn results(self) -> usize {
        let warps = if self.is_many() { ACROSS } else { 1 };
        16 * self.cut.groups * warps / if self.gate { 2 } else { 1 }
    }

    /// Workgroups that make these together.
    pub fn cluster(self) -> usize {
        match self.cut.rows {
            Rows::Many { cluster, .. } => cluster,
            _ => 1,
        }
    }

    /// Whether it is the kernel for many rows.
    pub fn is_many(self) -> bool {
        matches!(self.cut.rows, Rows::Many { .. })
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
        let kernel = if self.is_many() {
            "linear_many"
        } else {
            "linear_few"
        };
        let (rows, cluster) = (self.rows(), self.cluster());
        let Cut {
            groups,
            stages,
            resident,
            ..
        } = self.cut;
        format!("{kernel}_{storage}_{rows}_{groups}{stages}{resident}{cluster}{marks}")
    }

    /// The kernel itself.
    pub fn text(self) -> &'static str {
        match self.is_many() {
            true => include_str!("../../../../shaders/linear_many_mma.cu"),
            false => include_str!("../../../../shaders/linear_few_mma.cu"),
        }
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
            ("MANY", self.is_many().into()),
            ("SINGLE", usize::from(self.cut.rows == Rows::One)),
            ("TILES", self.rows() / TOGETHER),
            ("GROUPS", self.cut.groups),
            ("STAGES", self.cut.stages),
            ("CLUSTER", self.cluster()),
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
