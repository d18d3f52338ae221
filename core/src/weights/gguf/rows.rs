//! Rows of Q and K in the two orders: Hugging Face's, and llama.cpp's.

/// Undoes the row permutation of llama.cpp's converter for its `llama` architecture.
///
/// Rotary embedding turns pairs of dimensions. Hugging Face pairs dimension `i` with
/// `i + d/2` of a head of `d`; llama.cpp pairs neighbours, and so the converter interleaves
/// the halves. Within each head, row `i` of the result comes from row `2 i` of the file
/// for `i < d/2`, and row `d/2 + i` from row `2 i + 1`.
///
/// `bytes` holds rows of `row_bytes` encoded bytes each; a row is whole blocks, so moving
/// it loses nothing.
pub(in crate::weights) fn halves_from_pairs(
    bytes: &[u8],
    row_bytes: usize,
    head_dim: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for head in bytes.chunks_exact(row_bytes * head_dim) {
        for parity in 0..2 {
            for pair in head.chunks_exact(row_bytes * 2) {
                out.extend(&pair[parity * row_bytes..][..row_bytes]);
            }
        }
    }
    out
}

/// The inverse of [`halves_from_pairs`], for writing.
pub(in crate::weights) fn pairs_from_halves<T: Copy>(
    values: &[T],
    row_len: usize,
    head_dim: usize,
) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks_exact(row_len * head_dim) {
        let (first, second) = head.split_at(row_len * (head_dim / 2));
        for (a, b) in first
            .chunks_exact(row_len)
            .zip(second.chunks_exact(row_len))
        {
            out.extend(a);
            out.extend(b);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_i_comes_from_2i_and_row_half_plus_i_from_2i_plus_1() {
        // Three heads of eight rows of five bytes, each row filled with its own number.
        let (head_dim, heads, row_bytes) = (8, 3, 5);
        let file: Vec<u8> = (0..heads * head_dim)
            .flat_map(|row| vec![row as u8; row_bytes])
            .collect();
        let rows = halves_from_pairs(&file, row_bytes, head_dim);
        for head in 0..heads {
            let first = |row: usize| rows[(head * head_dim + row) * row_bytes];
            for i in 0..head_dim / 2 {
                assert_eq!(first(i) as usize, head * head_dim + 2 * i);
                assert_eq!(
                    first(head_dim / 2 + i) as usize,
                    head * head_dim + 2 * i + 1
                );
            }
        }
        assert_eq!(rows.len(), file.len());
        assert_eq!(pairs_from_halves(&rows, row_bytes, head_dim), file);
    }
}
