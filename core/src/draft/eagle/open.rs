//! Finding a head's file, and what it says without a target.

use std::fmt;
use std::path::{Path, PathBuf};

use super::config::{HeadConfig, Taps};
use super::{Head, load_head, names};
use crate::error::{Error, Result};
use crate::model::Transformer;
use crate::weights::{Dtype, Folder, NamedTensors, SourceFile};

/// A head's tensors and what goes with them.
pub struct HeadCheckpoint {
    /// The tensors, under the names of the file.
    pub tensors: NamedTensors,
    /// The text of config.json; empty for GGUF, which holds its own.
    pub config: Vec<u8>,
}

/// What sort of head a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// EAGLE-1, which EAGLE-2 shares.
    Eagle1,
    /// EAGLE-3.
    Eagle3,
    /// Medusa.
    Medusa,
}

/// The usual name.
impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Eagle1 => "EAGLE-1 and EAGLE-2",
            Self::Eagle3 => "EAGLE-3",
            Self::Medusa => "Medusa",
        })
    }
}

/// A head as its file describes it. Widths are numbers of values.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadInfo {
    /// What sort of head.
    pub kind: HeadKind,
    /// Its own width.
    pub hidden: usize,
    /// Width of the residual stream of the target that it is for.
    pub target_hidden: usize,
    /// Width of its feed-forward block; 0 for Medusa.
    pub intermediate: usize,
    /// Query heads, key heads, dimensions of each, as far as they are known.
    pub heads: Option<(usize, usize, usize)>,
    /// Tokens of the target's vocabulary, where the file tells.
    pub vocab: Option<usize>,
    /// Tokens that it can draft; `None` for all of the target's.
    pub draft_vocab: Option<usize>,
    /// The layers whose inputs it sees; `None` where the target's depth decides: 2, L / 2
    /// and L - 3. Empty but for EAGLE-3.
    pub taps: Option<Vec<usize>>,
    /// Base of its rotary frequencies.
    pub rope_theta: f64,
    /// Flags that are on and optional parts that are there, by the names of the formats.
    pub features: Vec<&'static str>,
}

impl HeadCheckpoint {
    /// Opens a folder (`config.json` with one safetensors file, or one GGUF file), a GGUF
    /// file, or a safetensors file with a `config.json` beside it.
    ///
    /// # Errors
    /// There is no such file, more than one, or one of PyTorch's, which is not read since
    /// it may hold a program: the message says how to convert it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = match path.is_dir() {
            true => in_folder(path)?,
            false => path.to_owned(),
        };
        if is_pickle(&file) {
            return Err(pickle(&file));
        }
        let tensors = NamedTensors::open(&file)?;
        let config = file.with_file_name("config.json");
        let config = match tensors.architecture() {
            Some(_) => Vec::new(),
            None => std::fs::read(&config).map_err(|source| Error::Io {
                path: config,
                source,
            })?,
        };
        Ok(Self { tensors, config })
    }

    /// The same from files that were handed over: one GGUF file, or `config.json` and one
    /// safetensors file.
    ///
    /// # Errors
    /// There is not exactly one such file, or it breaks the rules of its format.
    pub fn from_files(files: Vec<SourceFile>) -> Result<Self> {
        let is_head =
            |(name, _): &&SourceFile| name.ends_with(".gguf") || name.ends_with(".safetensors");
        let mut heads = files.iter().filter(is_head);
        let (Some((name, file)), None) = (heads.next(), heads.next()) else {
            return Err(Error::Invalid(
                "a head is one GGUF file, or one safetensors file and its config.json".into(),
            ));
        };
        let tensors = NamedTensors::from_source(Path::new(name), file.clone())?;
        let config = match tensors.architecture() {
            Some(_) => Vec::new(),
            None => Folder::of("", files).read("config.json")?,
        };
        Ok(Self { tensors, config })
    }

    /// Loads the head for a target: see [`load_head`].
    ///
    /// # Errors
    /// As [`load_head`].
    pub fn load(self, target: &Transformer, dtype: Dtype) -> Result<Box<dyn Head>> {
        load_head(self.tensors, &self.config, target, dtype)
    }

    /// The key that says which layers an EAGLE-3 head sees, and its file: where to write
    /// other ones.
    pub fn taps_key(&self) -> String {
        let file = self.tensors.path();
        match self.tensors.architecture() {
            Some(name) => format!("{name}.extract_layers in {}", file.display()),
            None => format!(
                "\"eaglet_taps\" in {}",
                file.with_file_name("config.json").display()
            ),
        }
    }

    /// What sort of head the tensors are, or `None` where they are none.
    pub fn kind(&self) -> Option<HeadKind> {
        let has = |name: &str| self.shape(name).is_some();
        if has("0.0.linear.weight") || has("medusa_head.0.0.linear.weight") {
            Some(HeadKind::Medusa)
        } else if has("hidden_norm.weight") {
            Some(HeadKind::Eagle3)
        } else if has("fc.weight") {
            Some(HeadKind::Eagle1)
        } else {
            None
        }
    }

    /// Describes the head; `None` where the tensors are no head's.
    ///
    /// # Errors
    /// The configuration makes no sense, or the tensors contradict each other.
    pub fn describe(&self) -> Result<Option<HeadInfo>> {
        match self.kind() {
            Some(HeadKind::Medusa) => self.medusa().map(Some),
            Some(kind) => self.eagle(kind).map(Some),
            None => Ok(None),
        }
    }

    /// The shape of a tensor of our name.
    fn shape(&self, ours: &str) -> Option<&[usize]> {
        let named = |name: &str| names::ours(name).is_some_and(|name| name == ours);
        let found = self.tensors.tensors().find(|tensor| named(tensor.name));
        found.map(|tensor| tensor.shape)
    }

    fn matrix(&self, ours: &str) -> Result<(usize, usize)> {
        match self.shape(ours) {
            Some(&[rows, cols]) => Ok((rows, cols)),
            Some(shape) => {
                let found = format!("shape {shape:?}");
                Err(self.tensors.wrong(ours, "a matrix", &found))
            }
            None => Err(self.tensors.missing(ours)),
        }
    }

    fn eagle(&self, kind: HeadKind) -> Result<HeadInfo> {
        let config = match self.tensors.architecture() {
            Some(_) => HeadConfig::of_gguf(&self.tensors)?,
            None => {
                let path = self.tensors.path().with_file_name("config.json");
                HeadConfig::parse(&path, &self.config)?
            }
        };
        // A head that fuses nothing is as wide as its target.
        let (hidden, fused) = match (kind, &config.taps) {
            (HeadKind::Eagle3, Taps::Last) => {
                let (_, inputs) = self.matrix("self_attn.q_proj.weight")?;
                (inputs / 2, inputs / 2)
            }
            _ => self.matrix("fc.weight")?,
        };
        let (query, _) = self.matrix("self_attn.q_proj.weight")?;
        let (keys, _) = self.matrix("self_attn.k_proj.weight")?;
        let (intermediate, _) = self.matrix("mlp.gate_proj.weight")?;
        let dim = config
            .head_dim
            .or_else(|| query.checked_div(config.heads?))
            .filter(|&dim| dim > 0);
        let taps = match (kind, &config.taps) {
            (HeadKind::Eagle3, Taps::Default) => None,
            (HeadKind::Eagle3, taps) => Some(taps.points(0)),
            _ => Some(Vec::new()),
        };
        let inputs = match kind {
            HeadKind::Eagle3 => taps.as_ref().map_or(3, Vec::len).max(1),
            _ => 2,
        };
        let flags = [
            ("norm_before_residual", config.norm_before_residual),
            ("norm_output", config.norm_output),
        ];
        let parts = [
            ("norm_before_fc", "input_norm.weight"),
            ("fc_norm", "fc_norm.0.weight"),
            ("bias", "fc.bias"),
            ("qkv_bias", "self_attn.q_proj.bias"),
            ("embed_tokens", "embed_tokens.weight"),
            ("lm_head", "lm_head.weight"),
        ];
        let flags = flags.into_iter().filter(|(_, on)| *on);
        let parts = parts
            .into_iter()
            .filter(|(_, name)| self.shape(name).is_some());
        let first = |name| self.shape(name).and_then(|shape| shape.first()).copied();
        Ok(HeadInfo {
            kind,
            hidden,
            target_hidden: fused / inputs,
            intermediate,
            heads: dim.map(|dim| (query / dim, keys / dim, dim)),
            vocab: first("embed_tokens.weight")
                .or(first("t2d"))
                .or(config.vocab),
            draft_vocab: first("d2t"),
            taps,
            rope_theta: config.rope_theta,
            features: flags.map(|f| f.0).chain(parts.map(|p| p.0)).collect(),
        })
    }

    fn medusa(&self) -> Result<HeadInfo> {
        let prefix = match self.shape("0.0.linear.weight") {
            Some(_) => "",
            None => "medusa_head.",
        };
        let (hidden, _) = self.matrix(&format!("{prefix}0.0.linear.weight"))?;
        // Heads without an output layer of their own use the target's.
        let block = |k: &usize| self.shape(&format!("{prefix}0.{k}.linear.weight"));
        let blocks = (0..).take_while(|k| block(k).is_some()).count();
        let output = self.shape(&format!("{prefix}0.{blocks}.weight"));
        Ok(HeadInfo {
            kind: HeadKind::Medusa,
            hidden,
            target_hidden: hidden,
            intermediate: 0,
            heads: None,
            vocab: output.and_then(|shape| shape.first()).copied(),
            draft_vocab: None,
            taps: Some(Vec::new()),
            rope_theta: 10_000.0,
            features: Vec::new(),
        })
    }
}

/// The one head in a folder.
fn in_folder(folder: &Path) -> Result<PathBuf> {
    let io = |source| Error::Io {
        path: folder.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        files.push(entry.map_err(io)?.path());
    }
    files.sort();
    let usual = folder.join("model.safetensors");
    if files.contains(&usual) {
        return Ok(usual);
    }
    let of = |end: &str| {
        let has = |file: &&PathBuf| file.extension().is_some_and(|found| found == end);
        files.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    let readable = [of("safetensors"), of("gguf")].concat();
    match &readable[..] {
        [one] => return Ok(one.clone()),
        [] => {}
        [first, second, ..] => {
            return Err(Error::Invalid(format!(
                "{} and {} may both be the head: say which",
                first.display(),
                second.display()
            )));
        }
    }
    match files.into_iter().find(|file| is_pickle(file)) {
        Some(file) => Ok(file),
        None => Err(Error::Invalid(format!(
            "{} holds no head: neither model.safetensors nor a GGUF file",
            folder.display()
        ))),
    }
}

fn is_pickle(file: &Path) -> bool {
    let end = file.extension().and_then(|end| end.to_str());
    matches!(end, Some("bin" | "pt" | "pth" | "pkl"))
}

/// Refuses PyTorch's files, with the program that turns them into one that is read.
fn pickle(file: &Path) -> Error {
    let to = file.with_file_name("model.safetensors");
    Error::Unsupported {
        path: file.into(),
        what: "PyTorch's pickle format, which can hold any program,".into(),
        supported: format!(
            "safetensors and GGUF. Convert it with python3:\n  \
             import torch, safetensors.torch\n  \
             safetensors.torch.save_file({{k: v.contiguous() for k, v in \
             torch.load({file:?}, map_location=\"cpu\", weights_only=True).items()}}, {to:?})"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &Path) -> String {
        HeadCheckpoint::open(path).err().unwrap().to_string()
    }

    #[test]
    fn a_folder_without_one_head_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(message(&path.join("none")).contains("none"));
        assert!(message(path).contains("holds no head"));
        std::fs::write(path.join("pytorch_model.bin"), b"\x80\x02").unwrap();
        for path in [path, &path.join("pytorch_model.bin")] {
            let message = message(path);
            assert!(message.contains("pytorch_model.bin"), "{message}");
            assert!(
                message.contains("safetensors.torch.save_file("),
                "{message}"
            );
            assert!(message.contains("weights_only=True"), "{message}");
            assert!(message.contains("model.safetensors\")"), "{message}");
        }
        // What can be read is preferred.
        std::fs::write(path.join("a.gguf"), b"GGUF").unwrap();
        assert!(message(path).contains("a.gguf: not a valid GGUF file"));
        std::fs::write(path.join("b.gguf"), b"GGUF").unwrap();
        assert!(message(path).contains("a.gguf and "));
        std::fs::write(
            path.join("model.safetensors"),
            [2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}'],
        )
        .unwrap();
        assert!(message(path).contains("cannot read"), "no config.json");
    }
}
