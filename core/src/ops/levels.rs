//! Levels of a drafted tree on the host: what devices whose tensors lie in the host's memory
//! do, and what the kernels of the others are compared with.

use super::Rows;

/// The score of a node: the logarithm of its chance, its ancestors' included. `above` is its
/// parent's, which it never exceeds: a child would be kept without its parent. What is not a
/// number is hopeless.
pub fn score(above: f32, log_chance: f32) -> f32 {
    match log_chance.is_nan() {
        true => f32::NEG_INFINITY,
        false => above + log_chance.min(0.0),
    }
}

/// [`Ops::frontier`](super::Ops::frontier) over values: `found` in rows of `width`.
pub fn frontier(found: &[f32], width: usize, above: Option<&[f32]>) -> Vec<f32> {
    let k = width / 2;
    let scored = |(place, &[index, log]): (usize, &[f32; 2])| {
        let above = above.map_or(0.0, |above| above[place / k * 2 + 1]);
        (index >= 0.0).then(|| (place, score(above, log)))
    };
    let pairs = found.as_chunks().0.iter().enumerate();
    let mut all: Vec<(usize, f32)> = pairs.filter_map(scored).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all.sort_unstable_by_key(|&(place, _)| place);
    let chosen = all.iter().flat_map(|&(place, score)| [place as f32, score]);
    let missing = [-1.0, f32::NEG_INFINITY].into_iter().cycle();
    chosen.chain(missing).take(width).collect()
}

/// [`Ops::places`](super::Ops::places) as values.
pub fn places(places: &[u32]) -> Vec<f32> {
    places.iter().flat_map(|&at| [at as f32, 0.0]).collect()
}

/// [`Ops::descend`](super::Ops::descend) over values, but for the features: gives `rows` their
/// tokens and paths. Returns the row of each one's parent.
pub fn settle(
    rows: &mut Rows<'_>,
    above: Option<&Rows<'_>>,
    (found, width): (&[f32], usize),
    chosen: &[f32],
    ids: Option<&[f32]>,
) -> Vec<u32> {
    let pairs = &chosen.as_chunks::<2>().0[..rows.len()];
    let settle = |(row, &[place, _]): (usize, &[f32; 2])| {
        let place = place.max(0.0) as usize;
        let index = found[2 * place].max(0.0);
        let token = ids.map_or(index, |ids| ids[index as usize]) as u32;
        let parent = place / (width / 2);
        let path = above.map_or(&[][..], |above| above.visible(parent).1);
        rows.settle(row, token, path);
        parent as u32
    };
    pairs.iter().enumerate().map(settle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_all_rows_are_chosen_by_rising_place() {
        let found = [3., -1., 8., -2., 0., -3., 5., -0.1, 6., -4., -1., -1.];
        let chosen = frontier(&found, 6, Some(&[1., -1.5, 2., -1.0, -1., 0.]));
        // Row 0 has -2.5, -3.5, -4.5, row 1 -1.1, -5 and nothing.
        assert_eq!(chosen, [0., -2.5, 1., -3.5, 3., -1.1]);
        let first = frontier(&found[..6], 6, None);
        assert_eq!(first, [0., -1., 1., -2., 2., -3.]);
        let hopeless = frontier(&[3., f32::NAN, 8., 0.5], 4, Some(&[0., -2.]));
        assert_eq!(hopeless, [0., f32::NEG_INFINITY, 1., -2.]);
        let few = frontier(&[7., -2., -1., -1.], 4, None);
        assert_eq!(few, [0., -2., -1., f32::NEG_INFINITY]);
    }

    #[test]
    fn rows_get_their_parents_paths() {
        let table = [7, 3];
        let level = |slots: &[u32], depth: usize| {
            let mut rows = Rows::default();
            rows.add_table(&table);
            for &slot in slots {
                rows.push(0, slot, 0, 2, &vec![slot; depth]);
            }
            rows
        };
        let (mut first, mut second) = (level(&[10, 11], 1), level(&[12, 13], 2));
        let found = [40., -1., 41., -2.];
        settle(&mut first, None, (&found, 4), &[0., -1., 1., -2.], None);
        assert_eq!(first.tokens, [40, 41]);
        assert_eq!(
            (first.visible(0).1, first.visible(1).1),
            (&[10][..], &[11][..])
        );
        let below = [1., 0., 2., 0., 0., 0., 3., 0.];
        let ids = [90., 91., 92., 93.];
        let chosen = [1., 0., 3., 0.];
        let parents = settle(&mut second, Some(&first), (&below, 4), &chosen, Some(&ids));
        assert_eq!(parents, [0, 1]);
        assert_eq!(second.tokens, [92, 93]);
        assert_eq!(
            (second.visible(0).1, second.visible(1).1),
            (&[10, 12][..], &[11, 13][..])
        );
    }
}
