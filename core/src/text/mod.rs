//! Between text and token ids: the tokenizer, the chat template, the streaming
//! detokeniser and stop strings.
//!
//! Nothing here knows a tensor or a model: ids go in and out as `u32`.

mod assets;
mod chat;
#[cfg(not(target_family = "wasm"))]
mod clock;
mod detokenize;
mod folder;
mod gguf_vocab;
mod pre_tokenize;
mod python;
#[cfg(test)]
mod sample;
mod sentencepiece;
mod spelling;
mod stop;
mod template;
mod tokenizer;
mod tokenizer_json;

pub use assets::TextAssets;
pub use chat::encode_chat;
pub use detokenize::Detokenizer;
pub use gguf_vocab::GgufVocab;
pub use stop::{Released, StopStrings};
pub use template::{ChatTemplate, Message, Role};
pub use tokenizer::{Special, Tokenizer};
