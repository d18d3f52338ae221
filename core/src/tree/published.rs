//! The fixed tree shapes that were published, as [`Shape`](super::Shape) reads them.
//!
//! A digit is a rank: `201` is the second likeliest child of the likeliest child of the
//! third likeliest child of the root.

/// EAGLE-1's tree: 25 nodes, 5 levels (Li et al. 2024).
pub const EAGLE1: &str = "0-3 00-02 10-11 20-21 30 000-002 010-011 020-021 100 0000-0002 \
                          00000-00001";

/// Medusa's trees, 63 nodes each, found for its own models; by name, the general one
/// first (Cai et al. 2024).
pub const MEDUSA: [(&str, &str); 7] = [
    (
        "mc_sim_7b_63",
        "0-9 00-09 10-16 20-22 30-31 40 50 60 70 80 90 \
         000-009 010-012 020-021 030 040 050 060 070 100-101 200 0000-0001",
    ),
    (
        "vicuna_7b_stage2",
        "0-9 00-09 10-14 20-21 30-31 40 50 60 70 \
         000-008 010-013 020-021 030 040 050 100-102 110 200 0000-0003 0010 0020 0100",
    ),
    (
        "vicuna_7b_stage1",
        "0-9 00-09 10-16 20-23 30-32 40-41 50-51 60 70 80 90 \
         000-008 010-012 020-021 030 040 050 100-101 200 0000",
    ),
    (
        "vicuna_13b_stage2",
        "0-9 00-09 10-13 20-21 30 40 50 \
         000-009 010-013 020-021 030 040 050 100-102 110 200 300 \
         0000-0003 0010-0011 0020 0100 1000",
    ),
    (
        "vicuna_13b_stage1",
        "0-9 00-09 10-16 20-23 30-31 40-41 50 60 70 80 \
         000-009 010-013 020-021 030 040 050 100-101 110 200 0000",
    ),
    (
        "vicuna_33b_stage2",
        "0-9 00-09 10-14 20-22 30-31 40 50 60 70 \
         000-009 010-013 020-021 030 040 050 100-102 110 200 0000-0002 0010 0100",
    ),
    (
        "zephyr_stage2",
        "0-9 00-09 10-15 20-23 30-31 40-41 50 60 70 \
         000-009 010-013 020-021 030 040 050 100-101 110 200 0000-0001 0010",
    ),
];

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;

    fn counts(shape: &Shape) -> Vec<usize> {
        let levels = 1..=shape.height();
        levels.map(|depth| shape.level(depth).len()).collect()
    }

    #[test]
    fn eagles_tree_is_the_papers() {
        let shape: Shape = EAGLE1.parse().unwrap();
        assert_eq!(counts(&shape), [4, 8, 8, 3, 2]);
        let leaves = (1..shape.len()).filter(|&node| shape.is_leaf(node));
        assert_eq!(leaves.count(), 15);
        // Each level's nodes that the head expands.
        let expanded = |depth| shape.level(depth).filter(|&n| !shape.is_leaf(n)).count();
        assert_eq!([1, 2, 3, 4, 5].map(expanded), [4, 4, 1, 1, 0]);
    }

    #[test]
    fn medusas_trees_are_the_papers() {
        let expected = [
            [10, 28, 23, 2],
            [10, 23, 23, 7],
            [10, 32, 20, 1],
            [10, 19, 25, 9],
            [10, 29, 23, 1],
            [10, 24, 24, 5],
            [10, 27, 23, 3],
        ];
        for ((name, text), expected) in MEDUSA.iter().zip(expected) {
            let shape: Shape = text.parse().unwrap();
            assert_eq!(counts(&shape), expected, "{name}");
            assert_eq!((shape.len(), shape.width()), (64, 10), "{name}");
        }
    }
}
