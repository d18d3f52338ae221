//! Which documents make which batch: a pure function of seed and epoch.

use crate::sample::uniform;

/// The documents of one epoch, in batches of micro-batches: indices of documents.
pub(super) fn epoch(
    lengths: &[usize],
    seed: u64,
    epoch: usize,
    micro_rows: usize,
    micro_batches: usize,
) -> Vec<Vec<Vec<usize>>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    let key = |index: &usize| {
        let place = (epoch * lengths.len() + index) as u64;
        uniform(seed, place).to_bits()
    };
    order.sort_by_key(key);
    let mut micro: Vec<Vec<usize>> = Vec::new();
    let mut rows = usize::MAX;
    for index in order {
        if rows.saturating_add(lengths[index]) > micro_rows {
            micro.push(Vec::new());
            rows = 0;
        }
        rows += lengths[index];
        if let Some(last) = micro.last_mut() {
            last.push(index);
        }
    }
    micro
        .chunks(micro_batches.max(1))
        .map(<[_]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_each_document_once_and_no_batch_is_too_large() {
        let lengths: Vec<usize> = (0..100).map(|i| 10 + i * 7 % 90).collect();
        let first = epoch(&lengths, 1, 0, 200, 4);
        let mut seen: Vec<usize> = first.iter().flatten().flatten().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        for micro in first.iter().flatten() {
            assert!(micro.iter().map(|&i| lengths[i]).sum::<usize>() <= 200);
        }
        assert_eq!(first, epoch(&lengths, 1, 0, 200, 4));
        assert_ne!(first, epoch(&lengths, 1, 1, 200, 4));
        assert_ne!(first, epoch(&lengths, 2, 0, 200, 4));
    }
}
