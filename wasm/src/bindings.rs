//! The engine and its answers as JavaScript's classes.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use eaglet_core::draft::HeadCheckpoint;
use eaglet_core::ops::Ops;
use eaglet_core::text::{Special, TextAssets};
use eaglet_core::weights::ModelFile;
use js_sys::{Function, Promise, Reflect};
use serde::Serialize;
use std::sync::Arc;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use crate::source::Source;
use crate::{Answer, Failure, Listen, Options, Request, Step, Usage};

unsafe extern "C" {
    /// Runs what registers itself before anything else: CubeCL's compiler does.
    fn __wasm_call_ctors();
}

/// What CubeCL says where a device goes away under a readback: it panics, and the browser
/// tells of the loss when that has happened.
const LOST: &str = "Failed to map buffer";

/// Which of the two modules this is.
const MODULE: &str = match cfg!(feature = "webgpu") {
    true => "webgpu",
    false => "wasm",
};

/// A panic would end the module with a bare trap: it is thrown as an error with its reason.
#[wasm_bindgen(start)]
fn start() {
    // SAFETY: once, before all else. Where nobody calls it the linker has each call into the
    // module run it anew, which takes 4 ms with the GPU's module, a hundred times a token.
    unsafe { __wasm_call_ctors() };
    std::panic::set_hook(Box::new(|info| {
        let reason = info.to_string();
        let failure = match reason.contains(LOST) {
            true => Failure::new(
                "lost",
                "the browser took the GPU away: load the model again",
            ),
            false => Failure::new("internal", reason),
        };
        let error = thrown(failure);
        // Setting a property of a new object cannot fail.
        let _ = Reflect::set(&error, &"panicked".into(), &MODULE.into());
        wasm_bindgen::throw_val(error)
    }));
}

/// The engine, while nothing runs on it: who works with it takes it out.
type Place = Rc<RefCell<Option<crate::Engine>>>;

/// A loaded model.
#[wasm_bindgen]
pub struct Engine {
    place: Place,
    text: Arc<TextAssets>,
    ops: Arc<dyn Ops>,
    info: String,
}

#[wasm_bindgen]
impl Engine {
    /// Loads a model: one GGUF file, or the files of a safetensors folder; and a head, if
    /// there are files of one. `progress` is called with bytes done and bytes in all.
    pub async fn load(
        model: Vec<Source>,
        head: Vec<Source>,
        options: String,
        progress: Option<Function>,
    ) -> Result<Engine, JsValue> {
        let engine = load(model, head, &options, progress)
            .await
            .map_err(thrown)?;
        Ok(Self {
            text: engine.text().clone(),
            ops: engine.ops().clone(),
            info: json(engine.info())?,
            place: Rc::new(RefCell::new(Some(engine))),
        })
    }

    /// What was loaded, and where it runs: JSON.
    pub fn info(&self) -> String {
        self.info.clone()
    }

    /// The ids of a text; special tokens in it are parsed, none is added.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>, JsValue> {
        let ids = self.text.tokenizer.encode(text, Special::Parse);
        ids.map_err(|e| thrown(e.into()))
    }

    /// The text of ids, special tokens included.
    pub fn detokenize(&self, ids: Vec<u32>) -> Result<String, JsValue> {
        let text = self.text.tokenizer.decode(&ids, true);
        text.map_err(|e| thrown(e.into()))
    }

    /// Runs a prompt (JSON) and gives its answer. While a long one is read, `cancelled` is
    /// called again and again: its promise lets events in, and `true` ends the answer.
    pub async fn start(&self, request: String, cancelled: Function) -> Result<Generation, JsValue> {
        let request = Request::parse(&request).map_err(thrown)?;
        let mut engine = take(&self.place).map_err(thrown)?;
        let started = engine.start(&request, listening(cancelled)).await;
        match started {
            Ok((answer, first)) => Ok(Generation {
                place: self.place.clone(),
                engine: Some(engine),
                answer,
                first: Some(first),
            }),
            Err(failure) => {
                self.place.replace(Some(engine));
                Err(thrown(failure))
            }
        }
    }

    /// Bytes in use: JSON.
    pub fn memory(&self) -> String {
        let wasm = core::arch::wasm32::memory_size(0) as u64 * 65536;
        let device = self.ops.memory().unwrap_or(0);
        format!(r#"{{"wasm":{wasm},"device":{device}}}"#)
    }
}

/// An answer that is being given. While it is open it holds the engine; its end, or
/// `free()`, gives it back.
#[wasm_bindgen]
pub struct Generation {
    place: Place,
    engine: Option<crate::Engine>,
    answer: Answer,
    first: Option<Step>,
}

#[wasm_bindgen]
impl Generation {
    /// One round: JSON, or `undefined` after the last one.
    pub async fn next(&mut self) -> Result<Option<String>, JsValue> {
        let step = match (self.first.take(), &mut self.engine) {
            (Some(first), _) => Ok(Some(first)),
            (None, Some(engine)) => engine.next(&mut self.answer).await,
            (None, None) => Ok(None),
        };
        if self.answer.ended || step.is_err() {
            self.give_back();
        }
        let step = step.map_err(thrown)?;
        step.map(|step| json(&step)).transpose()
    }

    /// What it cost so far: JSON.
    pub fn usage(&self) -> Result<String, JsValue> {
        json(&Usage::from(&self.answer.stats))
    }
}

impl Generation {
    fn give_back(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.place.replace(Some(engine));
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.give_back();
    }
}

async fn load(
    model: Vec<Source>,
    head: Vec<Source>,
    options: &str,
    progress: Option<Function>,
) -> Result<crate::Engine, Failure> {
    let options = Options::parse(options)?;
    let model = ModelFile::from_files(Path::new("model"), Source::files(model))?;
    let head = match head.is_empty() {
        true => None,
        false => Some(HeadCheckpoint::from_files(Source::files(head))?),
    };
    let tell = |done: usize, all: usize| {
        if let Some(progress) = &progress {
            // What a page's function throws is the page's own affair.
            let _ = progress.call2(&JsValue::NULL, &(done as f64).into(), &(all as f64).into());
        }
    };
    crate::Engine::load(&model, head, &options, tell).await
}

fn listening(cancelled: Function) -> Listen {
    Box::new(move || {
        let asked = cancelled.call0(&JsValue::NULL);
        Box::pin(async move {
            // What cannot be asked has not been cancelled.
            let Ok(promise) = asked else { return false };
            let word = JsFuture::from(Promise::resolve(&promise)).await;
            word.is_ok_and(|word| word.is_truthy())
        })
    })
}

/// Takes the engine out of its place.
fn take(place: &Place) -> Result<crate::Engine, Failure> {
    place.take().ok_or_else(|| {
        Failure::invalid("another answer is being given: end it, or read it to its end")
    })
}

fn json(value: &impl Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|e| thrown(Failure::invalid(e.to_string())))
}

/// The `Error` that is thrown for a failure, its code and numbers as properties.
fn thrown(failure: Failure) -> JsValue {
    let error = JsValue::from(js_sys::Error::new(&failure.message));
    let set = |key: &str, value: JsValue| {
        // Setting a property of a new object cannot fail.
        let _ = Reflect::set(&error, &key.into(), &value);
    };
    set("code", failure.code.into());
    for (name, number) in failure.numbers {
        set(name, (number as f64).into());
    }
    error
}
