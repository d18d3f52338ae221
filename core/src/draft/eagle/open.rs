//! Finding a head's file.

use std::path::{Path, PathBuf};

use super::{Head, load_head};
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
