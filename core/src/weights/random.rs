//! A model of a given shape whose weights mean nothing: for measuring speed.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use half::f16;

use super::safetensors::FolderConfig;
use super::{BlockFormat, Checkpoint, Dtype, Role, TensorInfo, TensorView};
use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// A checkpoint in memory that holds nothing: each tensor is made when it is asked for,
/// block by block in the layout that will be packed, the same one every time.
///
/// Values of a matrix are spread evenly around 0 with a standard deviation of
/// `1 / sqrt(inputs)`, so that activations stay in range through any number of layers.
pub struct RandomWeights {
    path: PathBuf,
    config: ModelConfig,
    tied: bool,
    dtype: Dtype,
}

impl RandomWeights {
    /// A model of the shape that a Hugging Face `config.json` describes. `name` stands for
    /// the file in messages.
    ///
    /// # Errors
    /// As for the `config.json` of a folder; or rows are no whole blocks of `dtype`.
    pub fn new(name: &Path, config: &[u8], dtype: Dtype) -> Result<Self> {
        let FolderConfig { model, tied } = FolderConfig::parse(name, config)?;
        let made = Self {
            path: name.into(),
            config: model,
            tied: tied.unwrap_or(false),
            dtype,
        };
        for role in made.roles() {
            made.info(role)?;
        }
        Ok(made)
    }

    /// Bytes of all tensors together.
    pub fn bytes(&self) -> usize {
        self.tensors().iter().map(|tensor| tensor.bytes).sum()
    }

    /// Every tensor that a model of this shape has.
    fn roles(&self) -> Vec<Role> {
        let parts: [fn(usize) -> Role; 14] = [
            Role::AttentionNorm,
            Role::QueryWeight,
            Role::KeyWeight,
            Role::ValueWeight,
            Role::QueryBias,
            Role::KeyBias,
            Role::ValueBias,
            Role::QueryNorm,
            Role::KeyNorm,
            Role::AttentionOutput,
            Role::FeedForwardNorm,
            Role::Gate,
            Role::Up,
            Role::Down,
        ];
        let layers = (0..self.config.layers).flat_map(|layer| parts.map(|part| part(layer)));
        let ends = [Role::Embedding, Role::FinalNorm, Role::Head];
        let all = ends.into_iter().chain(layers);
        all.filter(|&role| self.shape(role).is_some()).collect()
    }

    /// The shape of a tensor, or `None` where the model has none of that role.
    fn shape(&self, role: Role) -> Option<Vec<usize>> {
        let c = &self.config;
        let (query, kv) = (c.query_width(), c.kv_width());
        let is = |architecture| c.architecture == architecture;
        Some(match role {
            Role::Embedding => vec![c.vocab, c.hidden],
            Role::Head if !self.tied => vec![c.vocab, c.hidden],
            Role::FinalNorm | Role::AttentionNorm(_) | Role::FeedForwardNorm(_) => vec![c.hidden],
            Role::QueryWeight(_) => vec![query, c.hidden],
            Role::KeyWeight(_) | Role::ValueWeight(_) => vec![kv, c.hidden],
            Role::QueryBias(_) if is("qwen2") => vec![query],
            Role::KeyBias(_) | Role::ValueBias(_) if is("qwen2") => vec![kv],
            Role::QueryNorm(_) | Role::KeyNorm(_) if is("qwen3") => vec![c.head_dim],
            Role::AttentionOutput(_) => vec![c.hidden, query],
            Role::Gate(_) | Role::Up(_) => vec![c.intermediate, c.hidden],
            Role::Down(_) => vec![c.hidden, c.intermediate],
            _ => return None,
        })
    }

    /// What is known of a tensor that the model has.
    fn info(&self, role: Role) -> Result<Option<TensorInfo>> {
        let Some(shape) = self.shape(role) else {
            return Ok(None);
        };
        let dtype = match (shape.len(), role, self.dtype) {
            (1, ..) => Dtype::F32,
            // As they are loaded: precision matters most there.
            (_, Role::Embedding | Role::Head, Dtype::Q4) => Dtype::Q8,
            (.., dtype) => dtype,
        };
        let (format, cols) = (dtype.layout(), shape[shape.len() - 1]);
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let bytes = format.bytes_for(cols).and_then(|row| row.checked_mul(rows));
        let name = self.name(role);
        let Some(bytes) = bytes else {
            return Err(Error::Tensor {
                path: self.path.clone(),
                name,
                expected: format!("rows of a multiple of {} for {dtype}", format.block_len()),
                found: format!("shape {shape:?}"),
            });
        };
        Ok(Some(TensorInfo {
            name,
            shape,
            format,
            bytes,
        }))
    }
}

impl Checkpoint for RandomWeights {
    fn path(&self) -> &Path {
        &self.path
    }

    fn config(&self) -> Result<ModelConfig> {
        Ok(self.config.clone())
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        let infos = self.roles().into_iter().map(|role| self.info(role));
        infos.filter_map(|info| info.ok().flatten()).collect()
    }

    fn tensor(&self, role: Role) -> Result<Option<TensorView<'_>>> {
        let Some(info) = self.info(role)? else {
            return Ok(None);
        };
        let bytes = match info.shape[..] {
            [_, cols] => random(info.format, cols, info.bytes, Numbers::of(&info.name)),
            // A bias that does nothing, or a norm.
            _ => {
                let value = f32::from(u8::from(!info.name.ends_with(".bias")));
                value.to_le_bytes().repeat(info.bytes / 4)
            }
        };
        Ok(Some(TensorView {
            name: info.name,
            shape: info.shape,
            format: info.format,
            bytes: Cow::Owned(bytes),
        }))
    }

    fn name(&self, role: Role) -> String {
        role.hugging_face()
    }

    /// Nothing is held.
    fn release(&self, _: Role) {}
}

/// `size` bytes of random blocks, for a matrix of `cols` columns.
fn random(format: BlockFormat, cols: usize, size: usize, mut numbers: Numbers) -> Vec<u8> {
    /// Standard deviation of a random nibble, and of a random signed byte, in steps.
    const NIBBLE: f32 = 4.609_772;
    const BYTE: f32 = 73.900_38;
    let deviation = 1.0 / (cols as f32).sqrt();
    let uniform = |bits: u32| (bits as f32 / u32::MAX as f32 - 0.5) * 12f32.sqrt() * deviation;
    let mut bytes = Vec::with_capacity(size);
    match format {
        BlockFormat::Q4_1 => {
            let d = f16::from_f32(deviation / NIBBLE);
            let scales = [d, f16::from_f32(-7.5 * d.to_f32())].map(f16::to_le_bytes);
            while bytes.len() < size {
                bytes.extend(scales.as_flattened());
                (0..2).for_each(|_| bytes.extend(numbers.next().to_le_bytes()));
            }
        }
        BlockFormat::Q8_0 => {
            let scale = f16::from_f32(deviation / BYTE).to_le_bytes();
            while bytes.len() < size {
                bytes.extend(scale);
                (0..4).for_each(|_| bytes.extend(numbers.next().to_le_bytes()));
            }
        }
        BlockFormat::F16 => {
            // Rounding to half precision costs more than looking it up.
            let table: Vec<[u8; 2]> = (0..1u32 << 12)
                .map(|bits| f16::from_f32(uniform(bits << 20)).to_le_bytes())
                .collect();
            while bytes.len() < size {
                let number = numbers.next();
                let four = [0, 16, 32, 48].map(|shift| table[(number >> shift & 0xFFF) as usize]);
                bytes.extend(four.as_flattened());
            }
        }
        _ => {
            while bytes.len() < size {
                let number = numbers.next();
                let two = [number as u32, (number >> 32) as u32].map(uniform);
                bytes.extend(two.map(f32::to_le_bytes).as_flattened());
            }
        }
    }
    bytes.truncate(size);
    bytes
}

/// SplitMix64: a stream of random numbers that costs next to nothing.
struct Numbers(u64);

impl Numbers {
    /// A stream of its own for each tensor name.
    fn of(name: &str) -> Self {
        let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        Self(name.bytes().fold(0xCBF2_9CE4_8422_2325, add))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::dequantize;

    fn made(architecture: &str, dtype: Dtype, changes: &str) -> Result<RandomWeights> {
        let config = format!(
            "{{\"model_type\": \"{architecture}\", \"hidden_size\": 128, {changes}
             \"intermediate_size\": 96, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,
             \"num_key_value_heads\": 2, \"vocab_size\": 50, \"max_position_embeddings\": 64,
             \"rms_norm_eps\": 1e-5}}"
        );
        RandomWeights::new(Path::new("shape"), config.as_bytes(), dtype)
    }

    #[test]
    fn values_are_spread_around_zero_and_the_same_every_time() {
        for dtype in Dtype::ALL {
            let made = made("llama", dtype, "").unwrap();
            for role in [Role::Up(1), Role::Down(0), Role::Head] {
                let view = made.tensor(role).unwrap().unwrap();
                let again = made.tensor(role).unwrap().unwrap();
                assert_eq!(view.bytes, again.bytes);
                let (rows, cols) = (view.shape[0], view.shape[1]);
                let mut values = vec![f32::NAN; rows * cols];
                dequantize(view.format, &view.bytes, &mut values);
                let sum = |f: fn(f32) -> f32| values.iter().map(|&v| f(v)).sum::<f32>();
                let count = values.len() as f32;
                let (mean, square) = (sum(|v| v) / count, sum(|v| v * v) / count);
                let scale = square * cols as f32;
                assert!((scale - 1.0).abs() < 0.05, "{dtype} {role:?}: {scale}");
                assert!(
                    mean.abs() < 0.05 * square.sqrt(),
                    "{dtype} {role:?}: {mean}"
                );
            }
            let [up, gate] =
                [Role::Up(0), Role::Gate(0)].map(|role| made.tensor(role).unwrap().unwrap().bytes);
            assert_ne!(up, gate);
        }
    }

    #[test]
    fn a_shape_has_the_tensors_of_its_architecture() {
        let count = |architecture, changes| {
            let made = made(architecture, Dtype::Q8, changes).unwrap();
            for tensor in made.tensors() {
                assert!(tensor.bytes > 0, "{tensor:?}");
            }
            assert_eq!(
                made.tensor(Role::RopeFactors).unwrap().map(|t| t.name),
                None
            );
            made.tensors().len()
        };
        assert_eq!(count("llama", ""), 3 + 2 * 9);
        assert_eq!(count("llama", "\"tie_word_embeddings\": true,"), 2 + 2 * 9);
        assert_eq!(count("qwen2", ""), 3 + 2 * 12);
        assert_eq!(count("qwen3", "\"head_dim\": 64,"), 3 + 2 * 11);
        let made = made("llama", Dtype::Q4, "").unwrap();
        let all: usize = made.tensors().iter().map(|tensor| tensor.bytes).sum();
        assert_eq!(made.bytes(), all);
    }

    #[test]
    fn shapes_that_do_not_fit_a_dtype_are_refused_by_name() {
        let told = made("llama", Dtype::Q4, "\"head_dim\": 10,");
        let told = told.err().unwrap().to_string();
        assert!(
            told.contains("o_proj") && told.contains("multiple of 32"),
            "{told}"
        );
        assert!(made("llama", Dtype::F16, "\"head_dim\": 10,").is_ok());
        let told = made("gemma", Dtype::F16, "").err().unwrap().to_string();
        assert!(told.contains("gemma"), "{told}");
    }
}
