//! Where trained heads lie: beside a model, or in the program.

use std::fmt;
use std::path::{Path, PathBuf};

use eaglet_core::draft::HeadCheckpoint;

use super::Method;
use super::shipped::{self, Shipped};
use crate::error::Failure;

/// Folders of heads and the method that is best with each, the best first.
const FOLDERS: [(&str, Method); 4] = [
    ("eagle3", Method::Eagle3),
    ("eagle2", Method::Eagle2),
    ("eagle1", Method::Eagle2),
    ("medusa", Method::Medusa),
];

/// The best head that a model has, and the method that drafts with it: one that lies beside
/// it, else, where `shipped` ones are wanted, the one that was shipped for it.
pub fn best(model: &Path, shipped: bool) -> Option<(Method, Source)> {
    let beside = beside(model).map(|(method, path)| (method, Source::Path(path)));
    beside.or_else(|| {
        let head = shipped.then(|| shipped::of(Method::Eagle3, model))??;
        Some((Method::Eagle3, Source::Shipped(head)))
    })
}

/// The best head that lies beside a model: a folder `eagle3` (else `eagle2`, `eagle1`,
/// `medusa`) inside a model's folder; next to a file `NAME.gguf`, the folder `NAME.eagle3` or
/// `eagle3`, and so on.
fn beside(model: &Path) -> Option<(Method, PathBuf)> {
    let mut folders = FOLDERS.iter();
    folders.find_map(|&(name, method)| Some((method, folder(model, name)?)))
}

/// Where a head is.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file or folder.
    Path(PathBuf),
    /// In the program.
    Shipped(&'static Shipped),
}

impl Source {
    /// Opens the head.
    pub fn open(&self) -> Result<HeadCheckpoint, Failure> {
        match self {
            Self::Path(path) => Ok(HeadCheckpoint::open(path)?),
            Self::Shipped(head) => head.open(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Shipped(head) => head.name().fmt(f),
        }
    }
}

/// The head that a method can draft with: the one beside the model, else the one that was
/// shipped for it. EAGLE-1 and EAGLE-2 share theirs.
pub fn of(method: Method, model: &Path) -> Option<Source> {
    let method = match method {
        Method::Eagle1 => Method::Eagle2,
        other => other,
    };
    let mut folders = FOLDERS.iter().filter(|(_, of)| *of == method);
    let beside = folders.find_map(|(name, _)| folder(model, name));
    let shipped = || shipped::of(method, model).map(Source::Shipped);
    beside.map(Source::Path).or_else(shipped)
}

fn folder(model: &Path, name: &str) -> Option<PathBuf> {
    let candidates = match model.is_dir() {
        true => vec![model.join(name)],
        false => {
            let stem = model.file_stem()?.to_str()?;
            let own = model.with_file_name(format!("{stem}.{name}"));
            vec![own, model.with_file_name(name)]
        }
    };
    candidates.into_iter().find(|folder| folder.is_dir())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_best_head_beside_a_model_is_found() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let (model, file) = (at("model"), at("a.b.gguf"));
        fs::create_dir(&model).unwrap();
        fs::write(&file, "").unwrap();
        assert_eq!((beside(&model), beside(&file)), (None, None));
        // From the last choice to the first, in the folder and next to the file.
        for (name, method) in [
            ("medusa", Method::Medusa),
            ("eagle1", Method::Eagle2),
            ("eagle2", Method::Eagle2),
            ("eagle3", Method::Eagle3),
        ] {
            let (inside, next) = (model.join(name), at(name));
            fs::create_dir(&inside).unwrap();
            assert_eq!(beside(&model), Some((method, inside)));
            fs::create_dir(&next).unwrap();
            assert_eq!(beside(&file), Some((method, next)));
            let own = at(&format!("a.b.{name}"));
            fs::create_dir(&own).unwrap();
            assert_eq!(beside(&file), Some((method, own)));
        }
        let found = |method, model: &Path| of(method, model).map(|head| head.to_string());
        let shown = |path: PathBuf| Some(path.display().to_string());
        assert_eq!(found(Method::Eagle1, &model), shown(model.join("eagle2")));
        assert_eq!(found(Method::Medusa, &file), shown(at("a.b.medusa")));
        assert_eq!(found(Method::Plain, &file), None);
        // A file that is called so is no head.
        let lone = at("lone");
        fs::create_dir(&lone).unwrap();
        fs::write(lone.join("eagle3"), "").unwrap();
        assert_eq!(beside(&lone), None);
    }
}
