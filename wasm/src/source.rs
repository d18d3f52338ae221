//! Files of the page, read in ranges by a function of JavaScript's.

use std::io;
use std::sync::Arc;

use eaglet_core::weights::{ReadRange, SourceFile};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

/// One file of a model. `read` is called at once and often, with an offset and a length,
/// and returns exactly that many bytes.
#[wasm_bindgen]
pub struct Source {
    file: SourceFile,
}

#[wasm_bindgen]
impl Source {
    /// A file of `size` bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(name: String, size: f64, read: Function) -> Self {
        // A file larger than the address space is told by its first tensor out of range.
        let size = size as usize;
        Self {
            file: (name, Arc::new(JsFile { size, read })),
        }
    }
}

impl Source {
    /// The files of some sources.
    pub(crate) fn files(sources: Vec<Self>) -> Vec<SourceFile> {
        sources.into_iter().map(|source| source.file).collect()
    }
}

struct JsFile {
    size: usize,
    read: Function,
}

// SAFETY: the module is built without atomics, so it has one thread and nothing is sent.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Send for JsFile {}
// SAFETY: as above.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Sync for JsFile {}

impl ReadRange for JsFile {
    fn size(&self) -> usize {
        self.size
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> io::Result<()> {
        let (from, length) = (JsValue::from(offset as f64), JsValue::from(to.len() as f64));
        let read = self.read.call2(&JsValue::NULL, &from, &length);
        let bytes = read.map_err(|thrown| io::Error::other(told(&thrown)))?;
        let bytes = bytes
            .dyn_into::<Uint8Array>()
            .map_err(|_| io::Error::other("`read` must return a Uint8Array"))?;
        if bytes.length() as usize != to.len() {
            let message = format!("read {} bytes of {}", bytes.length(), to.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        bytes.copy_to(to);
        Ok(())
    }
}

/// What an exception says.
fn told(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => format!("{thrown:?}"),
    }
}
