//! The form of candidates on a device: numbers of one kind in one tensor, which is read,
//! joined and copied like any other.

/// Candidates for a token: (index, log-softmax), likeliest first.
type Candidates = Vec<(u32, f32)>;

/// The values of `[rows, 2 k]`: index and log-softmax by turns, and an index of -1 where a
/// row has fewer than `k`.
pub fn lay_out(rows: &[Candidates], k: usize) -> Vec<f32> {
    let row = |row: &Candidates| {
        let mut row: Vec<f32> = row
            .iter()
            .flat_map(|&(index, log)| [index as f32, log])
            .collect();
        row.resize(2 * k, -1.0);
        row
    };
    rows.iter().flat_map(row).collect()
}

/// The candidates of rows of `width` values.
pub(crate) fn take_up(values: &[f32], width: usize) -> Vec<Candidates> {
    let row = |row: &[f32]| {
        let pairs = row.as_chunks().0.iter();
        let there = pairs.take_while(|[index, _]| *index >= 0.0);
        there.map(|&[index, log]| (index as u32, log)).collect()
    };
    values.chunks_exact(width).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let rows = vec![
            vec![(7, -0.5), (16_777_215, -1.5)],
            vec![(0, f32::NEG_INFINITY)],
            vec![],
        ];
        let values = lay_out(&rows, 2);
        assert_eq!(values.len(), 3 * 4);
        assert_eq!(take_up(&values, 4), rows);
    }
}
