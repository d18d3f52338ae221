//! A vocabulary without merges: every byte is a token, whose id is the byte.

use eaglet_core::weights::GgufWriter;
use eaglet_core::weights::{Array, Value};

const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
pub const END: u32 = 256;
pub const TURN_START: u32 = 257;
pub const TURN_END: u32 = 258;
pub const VOCAB: usize = 256 + SPECIAL.len();

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Adds a chat template to a GGUF file.
pub fn add_template(writer: GgufWriter) -> GgufWriter {
    writer.metadata("tokenizer.chat_template", Value::String(CHATML.into()))
}

/// Adds the tokenizer to a GGUF file.
pub fn add_vocabulary(writer: GgufWriter) -> GgufWriter {
    let string = |text: &str| Value::String(text.into());
    let bytes = (0..=255).map(|byte| spelling(byte).to_string());
    let tokens = bytes.chain(SPECIAL.map(String::from)).collect();
    // 1 is a normal token, 3 one that stands for itself and never for text.
    let types = (0..VOCAB).map(|id| if id < 256 { 1 } else { 3 }).collect();
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    writer
        .metadata(&key("model"), string("gpt2"))
        .metadata(&key("pre"), string("smollm"))
        .metadata(&key("tokens"), Value::Array(Array::String(tokens)))
        .metadata(&key("token_type"), Value::Array(Array::I32(types)))
        .metadata(&key("merges"), Value::Array(Array::String(Vec::new())))
        .metadata(&key("bos_token_id"), Value::U32(TURN_START))
        .metadata(&key("eos_token_id"), Value::U32(TURN_END))
}

/// GPT-2's way to write bytes: printable ones as themselves, the others from U+0100 on.
fn spelling(byte: u8) -> char {
    let code: u32 = byte.into();
    let code = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0..=0x20 => code + 0x100,
        0x7f..=0xa0 => code - 0x7f + 0x121,
        _ => 0x143,
    };
    char::from_u32(code).unwrap()
}
