//! Linear layers on NVIDIA's tensor cores: `shaders/linear_mma.cu`, which CubeCL compiles and
//! launches as it does what it generates itself.

use super::decode::Storage;

/// Blocks of 32 values along k that are underway side by side, each in a warp.
const WARPS: u32 = 8;

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

    /// What is compiled.
    pub fn source(self) -> String {
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
        let mut source = format!("#define KERNEL {}\n", self.entry());
        for (name, value) in defines {
            source += &format!("#define {name} {value}\n");
        }
        source + include_str!("../../../shaders/linear_mma.cu")
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

mod task {
    use cubecl::cuda::{CudaCompiler, CudaComputeKernel};
    use cubecl::ir::{ElemType, UIntKind, metadata::Info};
    use cubecl::prelude::*;
    use cubecl::{CompilationError, Compiler, CubeTask};

    use super::{Variant, WARPS};

    /// Invocations of a workgroup.
    const DIM: (u32, u32) = (32, WARPS);

    impl KernelMetadata for Variant {
        fn id(&self) -> KernelId {
            let id = KernelId::new::<Self>().info(*self);
            id.cube_dim(CubeDim::new_2d(DIM.0, DIM.1).0)
        }

        fn address_type(&self) -> ElemType {
            UIntKind::U64.into()
        }
    }

    impl CubeTask<CudaCompiler> for Variant {
        /// Nothing is generated: the text is the kernel.
        fn define(&self) -> KernelDefinition {
            let dim = CubeDim::new_2d(DIM.0, DIM.1).0;
            let settings = KernelSettings::new(dim, ExecutionMode::Checked, AddressType::U64);
            KernelDefinition {
                body: Scope::root(settings.clone()),
                settings,
                info: Info::default(),
            }
        }

        fn compile(
            &self,
            _: KernelDefinition,
            _: &mut CudaCompiler,
            _: &<CudaCompiler as Compiler>::CompilationOptions,
        ) -> Result<CompiledKernel<CudaCompiler>, CompilationError> {
            let source = self.source();
            Ok(CompiledKernel {
                entrypoint_name: self.entry(),
                debug_name: Some("linear_mma"),
                cube_dim: CubeDim::new_2d(DIM.0, DIM.1),
                debug_info: None,
                repr: Some(CudaComputeKernel {
                    // It has its own, of a size that the compiler knows.
                    shared_memory_size: 0,
                    buffers: Vec::new(),
                    source: source.clone(),
                }),
                source,
            })
        }
    }
}
