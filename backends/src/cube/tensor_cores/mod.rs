//! Kernels for NVIDIA's tensor cores, written in CUDA C++ (`shaders/*.cu`), which CubeCL compiles
//! and launches as it does what it generates itself.

pub mod attention;
pub mod linear;

use cubecl::cuda::{CudaCompiler, CudaComputeKernel};
use cubecl::ir::{ElemType, UIntKind, metadata::Info};
use cubecl::prelude::*;
use cubecl::{CompilationError, Compiler, CubeTask};

/// Names that a text is compiled with, and what they stand for.
pub type Defines = Vec<(&'static str, String)>;

/// Warps of a workgroup, of every kernel here.
const WARPS: usize = 8;

/// Invocations of a workgroup.
const DIM: (u32, u32) = (32, WARPS as u32);

/// What the kernels of linear layers begin with, and all of attention's.
const LINEAR: &str = include_str!("../../../../shaders/linear.cuh");
const ATTENTION: &str = include_str!("../../../../shaders/attention_mma.cu");

/// A kernel, and what it is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// A linear layer.
    Linear(linear::Variant),
    /// Path attention.
    Attention(attention::Variant),
}

impl Program {
    /// The kernel's name, which says all of it.
    pub fn entry(self) -> String {
        match self {
            Self::Linear(variant) => variant.entry(),
            Self::Attention(variant) => variant.entry(),
        }
    }

    /// What is compiled.
    pub fn source(self) -> String {
        let (defines, texts) = match self {
            Self::Linear(variant) => (variant.defines(), [LINEAR, variant.text()].concat()),
            Self::Attention(variant) => (variant.defines(), ATTENTION.to_owned()),
        };
        let mut source = format!("#define KERNEL {}\n", self.entry());
        for (name, value) in defines {
            source += &format!("#define {name} {value}\n");
        }
        source + include_str!("../../../../shaders/mma.cuh") + &texts
    }
}

impl KernelMetadata for Program {
    fn id(&self) -> KernelId {
        let id = KernelId::new::<Self>().info(*self);
        id.cube_dim(CubeDim::new_2d(DIM.0, DIM.1).0)
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U64.into()
    }
}

impl CubeTask<CudaCompiler> for Program {
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
            debug_name: Some("tensor_cores"),
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
