//! A tokenizer from Hugging Face's `tokenizer.json` and the files beside it.

use std::path::Path;

use super::folder::{TokenizerConfig, configured_ends};
use super::spelling::Spelling;
use super::tokenizer::{Markers, Tokenizer, library_error};
use crate::error::{Error, Result};
use crate::weights::Folder;

/// The name in every folder.
const FILE: &str = "tokenizer.json";

impl Tokenizer {
    /// Reads a `tokenizer.json`, without the files that lie beside it.
    ///
    /// The beginning of text is what the file itself puts there; the ends are the
    /// well-known ones (see [`Tokenizer::eos_ids`]).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let json = std::fs::read(path).map_err(|source| Error::Io {
            path: path.into(),
            source,
        })?;
        let inner = parse(path, &json)?;
        let bos = leading_token(&inner)?;
        let markers = Markers {
            bos,
            add_bos: bos.is_some(),
            eos: Vec::new(),
        };
        let spelling = Spelling::of(inner.get_decoder())?;
        Self::assemble(inner, spelling, markers)
    }

    /// Reads a Hugging Face folder: `tokenizer.json`, and for the ids that start and
    /// end a text `tokenizer_config.json`, `generation_config.json` and `config.json`,
    /// each where it is there.
    pub fn from_folder(folder: &Folder) -> Result<Self> {
        let json = folder.read(FILE)?;
        let inner = parse(&folder.path().join(FILE), &json)?;
        drop(json);
        let config = TokenizerConfig::read(folder)?;
        let id_of = |token: Option<&str>| token.and_then(|token| inner.token_to_id(token));

        let leading = leading_token(&inner)?;
        let bos = id_of(config.bos_token()).or(leading);
        // LLaMA 3 says it in tokenizer.json alone, LLaMA 2 in both, Qwen2 denies it.
        let add_bos = config
            .add_bos_token()
            .unwrap_or(leading.is_some() && leading == bos);
        let mut eos = Vec::from_iter(id_of(config.eos_token()));
        eos.extend(configured_ends(folder)?);
        let spelling = Spelling::of(inner.get_decoder())?;
        Self::assemble(inner, spelling, Markers { bos, add_bos, eos })
    }
}

fn parse(path: &Path, json: &[u8]) -> Result<tokenizers::Tokenizer> {
    let broken = |rule| Error::Format {
        path: path.into(),
        format: "tokenizer.json",
        rule,
    };
    // The library copies each merge into a buffer as long as the longest token, and
    // panics if a broken file's merge is longer.
    match std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(json)) {
        Ok(parsed) => parsed.map_err(|error| broken(error.to_string())),
        Err(_) => Err(broken("a merge is not in the vocabulary".into())),
    }
}

/// The token that a `tokenizer.json` itself puts before every text, if any.
fn leading_token(inner: &tokenizers::Tokenizer) -> Result<Option<u32>> {
    let first = |add_special| -> Result<Option<u32>> {
        let encoding = inner.encode_fast("a", add_special).map_err(library_error)?;
        Ok(encoding.get_ids().first().copied())
    };
    let (with, without) = (first(true)?, first(false)?);
    Ok(with.filter(|_| with != without))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{ChatTemplate, Special, sample};
    use super::*;

    /// Writes a folder of JSON files; gone when dropped.
    fn folder(files: &[(&str, Value)]) -> Result<tempfile::TempDir> {
        let failed = |source| Error::Io {
            path: "a temporary folder".into(),
            source,
        };
        let folder = tempfile::tempdir().map_err(failed)?;
        for (name, value) in files {
            std::fs::write(folder.path().join(name), value.to_string()).map_err(failed)?;
        }
        Ok(folder)
    }

    /// LLaMA 2's form of the SentencePiece sample.
    fn llama() -> Result<Value> {
        let built = Tokenizer::from_gguf_vocab(sample::sentencepiece())?;
        let text = built.inner().to_string(false).map_err(library_error)?;
        let mut file: Value = serde_json::from_str(&text).unwrap_or_default();
        file["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
        });
        file["decoder"] = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        ]});
        Ok(file)
    }

    #[test]
    fn a_file_and_a_gguf_vocabulary_agree() -> Result<()> {
        let folder = folder(&[("tokenizer.json", llama()?)])?;
        let read = Tokenizer::from_folder(&Folder::on_disk(folder.path()))?;
        let built = Tokenizer::from_gguf_vocab(sample::sentencepiece())?;
        for text in ["ab  a🙂b", "<s> a</s>b", ""] {
            for special in [Special::Parse, Special::Plain] {
                let ids = read.encode(text, special)?;
                assert_eq!(ids, built.encode(text, special)?);
                // The library's own decoder, which ours replaces.
                let expected = read.inner().decode(&ids, false).map_err(library_error)?;
                assert_eq!(read.decode(&ids, true)?, expected);
            }
        }
        Ok(())
    }

    #[test]
    fn the_files_beside_it_are_read() -> Result<()> {
        let folder = folder(&[
            ("tokenizer.json", llama()?),
            (
                "tokenizer_config.json",
                json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": false,
                       "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"}),
            ),
            ("generation_config.json", json!({"eos_token_id": [2, 261]})),
            (
                "config.json",
                json!({"eos_token_id": 260, "hidden_size": 64}),
            ),
        ])?;
        let files = Folder::on_disk(folder.path());
        let tokenizer = Tokenizer::from_folder(&files)?;
        assert_eq!((tokenizer.bos(), tokenizer.add_bos()), (Some(1), false));
        assert_eq!(tokenizer.eos_ids(), [2, 261, 260]);
        assert!(Tokenizer::from_file(folder.path().join("tokenizer.json"))?.add_bos());

        let message = super::super::Message {
            role: super::super::Role::User,
            content: "hi".into(),
        };
        let template = ChatTemplate::from_folder(&files)?;
        let text = template
            .map(|template| template.render(&[message], false))
            .transpose()?;
        assert_eq!(text.as_deref(), Some("<s>hi</s>"));
        Ok(())
    }

    #[test]
    fn broken_files_are_errors_that_name_them() -> Result<()> {
        let mut long_merge = llama()?;
        long_merge["model"]["merges"] = json!([["<0x00>", "<0x01>"]]);
        let mut wordpiece = llama()?;
        wordpiece["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
        for (file, cause) in [
            (long_merge, "tokenizer.json"),
            (json!({"model": 1}), "tokenizer.json"),
            (wordpiece, "decoder"),
        ] {
            let folder = folder(&[("tokenizer.json", file)])?;
            let error = Tokenizer::from_folder(&Folder::on_disk(folder.path())).err();
            assert!(error.is_some_and(|error| error.to_string().contains(cause)));
        }
        let empty = folder(&[])?;
        let empty = Folder::on_disk(empty.path());
        assert!(matches!(
            Tokenizer::from_folder(&empty),
            Err(Error::Io { .. })
        ));
        assert!(ChatTemplate::from_folder(&empty)?.is_none());
        Ok(())
    }
}
