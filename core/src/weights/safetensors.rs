//! Hugging Face folders: `config.json`, and safetensors in one file or in shards.

mod config;
mod index;
mod shard;
mod writer;

use std::collections::HashMap;
use std::path::Path;

pub(crate) use self::config::Rope;
pub use self::writer::SafetensorsWriter;

pub(super) use self::config::FolderConfig;
use self::shard::Located;
pub(super) use self::shard::Shard;
use super::rules::known_biases;
use super::storage::Storage;
use super::{Checkpoint, Folder, Role, SourceFile, TensorInfo, TensorView};
use crate::error::{Error, Result};
use crate::model::ModelConfig;

/// The one file of a model that has no shards.
const SINGLE: &str = "model.safetensors";

/// An opened folder of the LLaMA family, with tensors in F32, F16 or BF16.
///
/// Headers and configuration are checked when it is opened; tensors are read where they
/// lie in the mapped files.
pub struct SafetensorsFolder {
    folder: Folder,
    config: FolderConfig,
    shards: Vec<Shard>,
    tensors: Vec<Located>,
    by_name: HashMap<String, usize>,
}

impl SafetensorsFolder {
    /// Opens `config.json` and `model.safetensors`, or the shards that
    /// `model.safetensors.index.json` names. While it is open, the files must not be
    /// truncated or rewritten.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with the file that is missing, [`Error::Format`] with the file and
    /// the rule that it breaks, [`Error::Unsupported`] for other architectures, RoPE
    /// scalings, activations and number types.
    pub fn open(path: &Path) -> Result<SafetensorsFolder> {
        SafetensorsFolder::read(Folder::on_disk(path))
    }

    /// The same from files that were handed over, under the names that they have in a
    /// folder; `name` stands for the folder in messages.
    ///
    /// # Errors
    ///
    /// As [`SafetensorsFolder::open`].
    pub fn from_files(name: &Path, files: Vec<SourceFile>) -> Result<SafetensorsFolder> {
        SafetensorsFolder::read(Folder::of(name, files))
    }

    fn read(folder: Folder) -> Result<SafetensorsFolder> {
        let path = folder.path();
        let config = folder.read("config.json")?;
        let config = FolderConfig::parse(&path.join("config.json"), &config)?;
        let open = |name: &str| {
            Ok(Shard {
                storage: folder.storage(name)?,
                path: path.join(name),
            })
        };
        if folder.has(SINGLE) || !folder.has(index::FILE) {
            let shards = vec![open(SINGLE)?];
            return SafetensorsFolder::assemble(folder, config, shards);
        }
        let index = path.join(index::FILE);
        let weight_map = index::parse(&index, &folder.read(index::FILE)?)?;
        let shards = index::shards(&weight_map)
            .into_iter()
            .map(|name| open(name))
            .collect::<Result<_>>()?;
        let folder = SafetensorsFolder::assemble(folder, config, shards)?;
        for (name, shard) in &weight_map {
            let located = folder
                .located(name)
                .map(|located| &folder.shards[located.shard]);
            if located.is_none_or(|found| !found.path.ends_with(shard)) {
                let rule = format!("`{shard}` does not hold the tensor `{name}`");
                return Err(Error::Format {
                    path: index,
                    format: "safetensors index",
                    rule,
                });
            }
        }
        Ok(folder)
    }

    /// The same from bytes in memory: `config.json`, and each safetensors file with its
    /// name. `name` stands for the folder in messages.
    ///
    /// # Errors
    ///
    /// As [`SafetensorsFolder::open`].
    pub fn from_bytes(
        name: &Path,
        config: &[u8],
        files: Vec<(String, Vec<u8>)>,
    ) -> Result<SafetensorsFolder> {
        let config = FolderConfig::parse(&name.join("config.json"), config)?;
        let shard = |(file, bytes): (String, _)| Shard {
            path: name.join(file),
            storage: Storage::Owned(bytes),
        };
        let shards = files.into_iter().map(shard).collect();
        SafetensorsFolder::assemble(Folder::of(name, Vec::new()), config, shards)
    }

    fn assemble(
        folder: Folder,
        config: FolderConfig,
        shards: Vec<Shard>,
    ) -> Result<SafetensorsFolder> {
        let (mut tensors, mut by_name) = (Vec::new(), HashMap::new());
        for (index, shard) in shards.iter().enumerate() {
            for located in shard.tensors(index)? {
                let name = &located.info.name;
                if by_name.insert(name.clone(), tensors.len()).is_some() {
                    return Err(shard.invalid(format!("another shard also holds `{name}`")));
                }
                tensors.push(located);
            }
        }
        let folder = SafetensorsFolder {
            folder,
            config,
            shards,
            tensors,
            by_name,
        };
        known_biases(
            folder.path(),
            &folder.tensors(),
            ["q_proj.bias", "k_proj.bias", "v_proj.bias"],
        )?;
        Ok(folder)
    }

    /// The folder itself, for what lies in it beside the tensors.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    fn located(&self, name: &str) -> Option<&Located> {
        self.tensors.get(*self.by_name.get(name)?)
    }
}

impl Checkpoint for SafetensorsFolder {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> Result<ModelConfig> {
        Ok(self.config.model.clone())
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        self.tensors
            .iter()
            .map(|located| located.info.clone())
            .collect()
    }

    fn tensor(&self, role: Role) -> Result<Option<TensorView<'_>>> {
        // A tied checkpoint may still hold a head: a stale copy, which training ignored.
        if role == Role::Head && self.config.tied == Some(true) {
            return Ok(None);
        }
        let name = role.hugging_face();
        let Some(Located { info, shard, range }) = self.located(&name) else {
            // Falling back to the embedding would be silent nonsense.
            if role == Role::Head && self.config.tied == Some(false) {
                return Err(Error::MissingTensor {
                    path: self.path().into(),
                    name,
                });
            }
            return Ok(None);
        };
        let Shard { path, storage } = &self.shards[*shard];
        let bytes = storage.read(path, range.clone())?;
        Ok(Some(TensorView {
            name,
            shape: info.shape.clone(),
            format: info.format,
            bytes,
        }))
    }

    fn name(&self, role: Role) -> String {
        role.hugging_face()
    }

    fn release(&self, role: Role) {
        if let Some(Located { shard, range, .. }) = self.located(&role.hugging_face()) {
            self.shards[*shard].storage.release(range.clone());
        }
    }
}

#[cfg(test)]
mod tests;
