//! How fast a device reads its memory: the limit of decoding.

use std::time::Instant;

use cubecl::prelude::*;
use eaglet_core::error::Result;

use super::{CubeOps, Kind, linear::across};

/// What is read: more than any cache holds, and less on a processor that plays a GPU.
const BYTES: usize = 256 << 20;
const SOFTWARE_BYTES: usize = 32 << 20;
/// How often; the best counts.
const REPEATS: usize = 5;
/// Reads between two waits, so that waiting is not what is measured.
const BATCH: usize = 16;

/// Reads all of `from`, `quads` vectors, and keeps next to nothing: a sum for each
/// invocation. There are `units` of them, side by side.
#[cube(launch_unchecked)]
fn read_all(from: &[Vector<f32, Const<4>>], sums: &mut [f32], quads: usize, units: usize) {
    let mut sum = Vector::<f32, Const<4>>::new(0.0);
    for i in range_stepped(ABSOLUTE_POS, quads, units) {
        sum += from[i];
    }
    sums[ABSOLUTE_POS] = across(sum);
}

impl<K: Kind> CubeOps<K> {
    /// Bytes a second that a kernel reads.
    ///
    /// # Errors
    /// The device failed, or has no room for the test.
    pub async fn read_bandwidth(&self) -> Result<f64> {
        let gpu = &self.gpu;
        let bytes = match gpu.limits.software {
            true => SOFTWARE_BYTES,
            false => BYTES.min(gpu.limits.binding / 2),
        };
        let (groups, units) = (4096u32, gpu.limits.units);
        let all = (groups * units) as usize;
        let (from, sums) = (gpu.reserve(bytes)?, gpu.reserve(all * 4)?);
        let mut best = 0f64;
        for _ in 0..=REPEATS {
            gpu.finish().await?;
            let start = Instant::now();
            let batch = if gpu.limits.software { 1 } else { BATCH };
            for _ in 0..batch {
                gpu.count_dispatches(1);
                // SAFETY: invocations step through the buffer and stop at its end.
                unsafe {
                    read_all::launch_unchecked::<K::Runtime>(
                        &gpu.client,
                        CubeCount::new_1d(groups),
                        CubeDim::new_1d(units),
                        BufferArg::from_raw_parts(from.clone(), bytes / 4),
                        BufferArg::from_raw_parts(sums.clone(), all),
                        bytes / 16,
                        all,
                    );
                }
            }
            gpu.finish().await?;
            best = best.max((batch * bytes) as f64 / start.elapsed().as_secs_f64());
        }
        Ok(best)
    }
}
