//! Compiled kernels, kept from one start to the next.

use std::path::Path;

/// Keeps in `folder` what NVIDIA's compiler makes of kernels, which takes seconds at each
/// start otherwise. To be called before a device is opened: afterwards nothing changes.
/// Shaders of wgpu are kept by drivers.
pub fn keep_kernels(folder: &Path) {
    #[cfg(feature = "cuda")]
    {
        use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

        let mut config = CubeClRuntimeConfig::default();
        config.compilation.cache = true;
        if CubeClRuntimeConfig::try_set(config) {
            cubecl::environment::set_root(folder);
        }
    }
    #[cfg(not(feature = "cuda"))]
    let _ = folder;
}
