//! The LLaMA family's forward pass as its papers write it: one token at a time, in f64,
//! on plain vectors. Slow and without any of the code under test.

use eaglet_core::weights::Role;

use crate::tiny::{EPSILON, HEADS, HIDDEN, KV_HEADS, THETA, Tiny};

/// Logits of the last of `tokens`.
pub fn logits(model: &Tiny, tokens: &[u32]) -> Vec<f32> {
    let mut keys = vec![Vec::new(); model.layers];
    let mut values = vec![Vec::new(); model.layers];
    let mut last = Vec::new();
    for (position, &token) in tokens.iter().enumerate() {
        let embedding = model.values(Role::Embedding).unwrap();
        let row = &embedding[token as usize * HIDDEN..][..HIDDEN];
        let mut x: Vec<f64> = row.iter().map(|&v| v.into()).collect();
        for l in 0..model.layers {
            let inner = norm(model, Role::AttentionNorm(l), &x);
            let mut q = linear(
                model,
                Role::QueryWeight(l),
                Some(Role::QueryBias(l)),
                &inner,
            );
            let mut k = linear(model, Role::KeyWeight(l), Some(Role::KeyBias(l)), &inner);
            let v = linear(
                model,
                Role::ValueWeight(l),
                Some(Role::ValueBias(l)),
                &inner,
            );
            for (heads, role) in [(&mut q, Role::QueryNorm(l)), (&mut k, Role::KeyNorm(l))] {
                for head in heads.chunks_exact_mut(model.head_dim) {
                    if model.values(role).is_some() {
                        head.copy_from_slice(&norm(model, role, head));
                    }
                    rotate(head, position);
                }
            }
            keys[l].push(k);
            values[l].push(v);
            let mixed = attend(&q, &keys[l], &values[l], model.head_dim);
            add(
                &mut x,
                linear(model, Role::AttentionOutput(l), None, &mixed),
            );
            let inner = norm(model, Role::FeedForwardNorm(l), &x);
            let gate = linear(model, Role::Gate(l), None, &inner);
            let up = linear(model, Role::Up(l), None, &inner);
            let silu = |g: f64| g / (1.0 + (-g).exp());
            let inner: Vec<f64> = gate.iter().zip(up).map(|(&g, u)| silu(g) * u).collect();
            add(&mut x, linear(model, Role::Down(l), None, &inner));
        }
        let x = norm(model, Role::FinalNorm, &x);
        last = linear(model, Role::Head, None, &x);
    }
    last.into_iter().map(|v| v as f32).collect()
}

fn add(x: &mut [f64], y: Vec<f64>) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn norm(model: &Tiny, role: Role, x: &[f64]) -> Vec<f64> {
    let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
    let scale = (mean + f64::from(EPSILON)).sqrt();
    let weight = model.values(role).unwrap();
    x.iter()
        .zip(weight)
        .map(|(v, &w)| v / scale * f64::from(w))
        .collect()
}

fn linear(model: &Tiny, role: Role, bias: Option<Role>, x: &[f64]) -> Vec<f64> {
    let rows = model.values(role).unwrap().chunks_exact(x.len());
    let dot = |row: &[f32]| {
        row.iter()
            .zip(x)
            .map(|(&w, x)| f64::from(w) * x)
            .sum::<f64>()
    };
    let bias = bias.and_then(|role| model.values(role));
    let bias = |i: usize| bias.map_or(0.0, |bias| bias[i].into());
    rows.enumerate()
        .map(|(i, row)| dot(row) + bias(i))
        .collect()
}

fn rotate(head: &mut [f64], position: usize) {
    let half = head.len() / 2;
    for i in 0..half {
        let angle = position as f64 * THETA.powf(-(i as f64) / half as f64);
        let (a, b) = (head[i], head[half + i]);
        head[i] = a * angle.cos() - b * angle.sin();
        head[half + i] = b * angle.cos() + a * angle.sin();
    }
}

fn attend(q: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>], dim: usize) -> Vec<f64> {
    let mut mixed = vec![0.0; q.len()];
    for (h, q) in q.chunks_exact(dim).enumerate() {
        let kv = h / (HEADS / KV_HEADS) * dim..(h / (HEADS / KV_HEADS) + 1) * dim;
        let dot = |k: &Vec<f64>| k[kv.clone()].iter().zip(q).map(|(k, q)| k * q).sum::<f64>();
        let weights: Vec<f64> = keys
            .iter()
            .map(|k| (dot(k) / (dim as f64).sqrt()).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        for (weight, v) in weights.iter().zip(values) {
            for (to, v) in mixed[h * dim..].iter_mut().zip(&v[kv.clone()]) {
                *to += weight / total * v;
            }
        }
    }
    mixed
}
