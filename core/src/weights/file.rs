//! A model in whichever format it comes.

use std::path::Path;

use super::rules::unsupported;
use super::{Checkpoint, Gguf, Role, SafetensorsFolder, SourceFile, TensorInfo, TensorView};
use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// An opened model of either format. The variants differ in where the tokenizer and the
/// chat template are to be found.
pub enum ModelFile {
    /// One file that holds everything.
    Gguf(Gguf),
    /// A Hugging Face folder.
    Safetensors(SafetensorsFolder),
}

impl ModelFile {
    /// Opens a folder as safetensors and a file as GGUF. While it is open, its files must
    /// not be truncated or rewritten.
    ///
    /// # Errors
    ///
    /// Those of [`SafetensorsFolder::open`] and [`Gguf::open`]; and
    /// [`Error::Unsupported`](crate::error::Error::Unsupported) for a lone file of a
    /// folder, which does not say what model it belongs to.
    pub fn open(path: &Path) -> Result<ModelFile> {
        if path.is_dir() {
            return SafetensorsFolder::open(path).map(ModelFile::Safetensors);
        }
        if path
            .extension()
            .is_some_and(|extension| extension == "safetensors" || extension == "json")
        {
            let what = "a single file of a safetensors model".into();
            return Err(unsupported(
                path,
                what,
                "the folder that holds it and its config.json",
            ));
        }
        Gguf::open(path).map(ModelFile::Gguf)
    }

    /// Opens files that were handed over: one GGUF file, or those of a safetensors folder.
    /// `name` stands for the folder in messages.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::open`]; and [`Error::Invalid`](crate::error::Error::Invalid)
    /// for a GGUF file that does not come alone.
    pub fn from_files(name: &Path, mut files: Vec<SourceFile>) -> Result<ModelFile> {
        let is_gguf = |(file, _): &SourceFile| file.ends_with(".gguf");
        if !files.iter().any(is_gguf) {
            return SafetensorsFolder::from_files(name, files).map(ModelFile::Safetensors);
        }
        match (files.pop(), files.is_empty()) {
            (Some((name, file)), true) => {
                Gguf::from_source(Path::new(&name), file).map(ModelFile::Gguf)
            }
            _ => Err(Error::Invalid(
                "a model is one GGUF file, or the files of a safetensors folder: not both".into(),
            )),
        }
    }

    fn inner(&self) -> &dyn Checkpoint {
        match self {
            ModelFile::Gguf(gguf) => gguf,
            ModelFile::Safetensors(folder) => folder,
        }
    }
}

impl Checkpoint for ModelFile {
    fn path(&self) -> &Path {
        self.inner().path()
    }

    fn config(&self) -> Result<ModelConfig> {
        self.inner().config()
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        self.inner().tensors()
    }

    fn tensor(&self, role: Role) -> Result<Option<TensorView<'_>>> {
        self.inner().tensor(role)
    }

    fn name(&self, role: Role) -> String {
        self.inner().name(role)
    }

    fn release(&self, role: Role) {
        self.inner().release(role);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &Path) -> String {
        ModelFile::open(path).err().unwrap().to_string()
    }

    #[test]
    fn what_is_no_model_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let lone = folder.path().join("model.safetensors");
        std::fs::write(&lone, b"").unwrap();
        assert!(message(&lone).contains("supported: the folder that holds it"));

        let other = folder.path().join("pytorch_model.bin");
        std::fs::write(&other, b"PK\x03\x04more").unwrap();
        assert!(message(&other).ends_with("must start with `GGUF`, found `PK\\x03\\x04`"));

        assert!(message(folder.path()).contains("config.json"));
        assert!(message(&folder.path().join("none.gguf")).starts_with("cannot read"));
    }
}
