//! Tables of rotary angles.

use burn::tensor::{Device, Tensor, TensorData};

use super::{ModelConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::ops::Rotary;

/// Cosines and sines for positions `0..positions`. `divisors`, one a frequency, come
/// with some checkpoints (LLaMA 3.1 in GGUF) in place of a scaling rule.
///
/// # Errors
/// A divisor is not positive, or there is no memory for so many positions.
pub fn table(
    config: &ModelConfig,
    positions: usize,
    divisors: Option<&[f32]>,
    device: &Device,
) -> Result<Rotary> {
    let half = config.head_dim / 2;
    if let Some(divisor) = divisors.into_iter().flatten().find(|&&d| d <= 0.0) {
        return Err(Error::Invalid(format!(
            "the model divides a rotary frequency by {divisor}: its file is damaged"
        )));
    }
    let frequency = |i: usize| {
        let plain = config.rope_theta.powf(-(i as f64) / half as f64);
        scaled(plain, &config.rope_scaling) / divisors.map_or(1.0, |d| f64::from(d[i]))
    };
    let frequencies: Vec<f64> = (0..half).map(frequency).collect();
    let angles = |f: fn(f64) -> f64| {
        let mut values = Vec::new();
        let room = positions.checked_mul(half);
        let room = room.and_then(|n| values.try_reserve_exact(n).ok());
        room.ok_or_else(|| {
            Error::Device(format!(
                "no memory for the angles of {positions} positions: ask for a smaller context"
            ))
        })?;
        let angle = |p: usize| frequencies.iter().map(move |&w| f(p as f64 * w) as f32);
        values.extend((0..positions).flat_map(angle));
        let values = TensorData::new(values, [positions, half]);
        Ok(Tensor::from_data(values, device))
    };
    Ok(Rotary {
        cos: angles(f64::cos)?,
        sin: angles(f64::sin)?,
    })
}

/// What each frequency of heads of `dim` dimensions is divided by where a rule stretches
/// them: the table that GGUF files have in place of the rule.
pub fn divisors(theta: f64, dim: usize, scaling: &RopeScaling) -> Vec<f32> {
    let plain = |i| theta.powf(-(i as f64) / (dim / 2) as f64);
    let divisor = |i| (plain(i) / scaled(plain(i), scaling)) as f32;
    (0..dim / 2).map(divisor).collect()
}

/// A frequency (radians a position) stretched by the model's rule.
fn scaled(frequency: f64, scaling: &RopeScaling) -> f64 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } => {
            let wavelengths = original_context as f64 * frequency / std::f64::consts::TAU;
            // 0 where the wave is too long to have been seen whole, 1 where it is short.
            let ramp = (wavelengths - low_freq_factor) / (high_freq_factor - low_freq_factor);
            let keep = ramp.clamp(0.0, 1.0);
            frequency * (keep + (1.0 - keep) / factor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_keeps_short_waves_divides_long_ones_and_blends_between() {
        let rule = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192,
        };
        let wave = |length: f64| std::f64::consts::TAU / length;
        assert_eq!(scaled(wave(100.0), &rule), wave(100.0));
        assert_eq!(scaled(wave(10_000.0), &rule), wave(10_000.0) / 8.0);
        // 8192 / 4096 = 2 wavelengths: a third of the way from 1 to 4.
        let blend = wave(4096.0) * (1.0 / 3.0 + 2.0 / 3.0 / 8.0);
        assert!((scaled(wave(4096.0), &rule) - blend).abs() < 1e-15);
    }
}
