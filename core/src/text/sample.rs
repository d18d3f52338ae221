//! Small vocabularies for this room's tests.

use super::GgufVocab;

/// GPT-2's byte alphabet, a few merges, `<|im_start|>` and `<|im_end|>` (special), and
/// `<tool>` (added, not special).
pub(super) fn byte_level() -> GgufVocab {
    let mut tokens: Vec<String> = ["<|im_start|>", "<|im_end|>", "<tool>"]
        .map(String::from)
        .into();
    let mut token_types = vec![3, 3, 4];
    // Every alphabet character is U+0000..U+0143 and not a blank or a control.
    let alphabet = ('\u{21}'..='\u{143}')
        .filter(|c| !('\u{7f}'..='\u{a0}').contains(c) && *c != '\u{ad}')
        .map(String::from);
    tokens.extend(alphabet);
    let merges = ["h e", "l l", "Ġ t", "he ll", "Ġt he", "Ċ Ċ"];
    tokens.extend(merges.map(|merge| merge.replace(' ', "")));
    token_types.resize(tokens.len(), 1);
    GgufVocab {
        model: "gpt2".into(),
        pre: Some("smollm".into()),
        tokens,
        token_types,
        merges: merges.map(String::from).into(),
        bos: Some(0),
        eos: Some(1),
        ..GgufVocab::default()
    }
}

/// `<unk> <s> </s>`, the 256 byte tokens, and a few scored pieces over `▁`, `a`, `b`.
pub(super) fn sentencepiece() -> GgufVocab {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    let mut token_types = vec![2, 3, 3];
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    token_types.resize(tokens.len(), 6);
    let mut scores = vec![0.0; tokens.len()];
    let scored = [
        ("ab", -1.0),
        ("▁a", -2.0),
        ("▁ab", -3.0),
        ("▁", -4.0),
        ("a", -5.0),
        ("b", -6.0),
    ];
    for (token, score) in scored {
        tokens.push(token.into());
        scores.push(score);
    }
    token_types.resize(tokens.len(), 1);
    GgufVocab {
        model: "llama".into(),
        tokens,
        token_types,
        scores,
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        ..GgufVocab::default()
    }
}
