//! The order of functions, for gzip, which sees what is alike within 32 KiB.
//!
//! Generic functions are compiled once for each type, and what became of them differs in a few
//! bytes. Neither linker nor optimiser keeps them together; here each function follows the one
//! that it shares most with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload};

use super::snip::functions;

/// Bytes that are compared at once: a few instructions.
const PIECE: usize = 6;
/// Pieces of a function that stand for it: those of lowest hash, so that functions which share
/// many share many of these.
const PIECES: usize = 24;
/// A piece that so many functions have says nothing of any.
const COMMON: usize = 400;

/// The same module with its functions in another order.
///
/// # Errors
/// It is no module.
pub fn order(module: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |error: String| format!("the optimised module: {error}");
    let mut order = Order::of(module).map_err(|e| wrong(e.to_string()))?;
    let mut ordered = Module::new();
    order
        .parse_core_module(&mut ordered, Parser::new(0), module)
        .map_err(|e| wrong(e.to_string()))?;
    Ok(ordered.finish())
}

/// Another order of the functions that are not imported.
struct Order {
    imported: u32,
    /// The old number of each.
    old: Vec<usize>,
    /// The new number of each.
    new: Vec<u32>,
}

impl Order {
    fn of(module: &[u8]) -> wasmparser::Result<Self> {
        let (mut imported, mut types, mut bodies) = (0, Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => imported = functions(imports)?,
                Payload::FunctionSection(section) => {
                    types = section.into_iter().collect::<wasmparser::Result<_>>()?;
                }
                Payload::CodeSectionEntry(body) => bodies.push(body.as_bytes()),
                _ => {}
            }
        }
        let old = alike(&types, &bodies);
        let mut new = vec![0; old.len()];
        for (at, &function) in (0..).zip(&old) {
            new[function] = at;
        }
        Ok(Self { imported, old, new })
    }
}

/// Functions of one type together, each after the one that it is most like.
fn alike(types: &[u32], bodies: &[&[u8]]) -> Vec<usize> {
    let mut groups = BTreeMap::<u32, Vec<usize>>::new();
    for (function, &ty) in types.iter().enumerate() {
        groups.entry(ty).or_default().push(function);
    }
    let chain = |group: Vec<usize>| Chain::new(group, bodies);
    groups.into_values().flat_map(chain).collect()
}

/// Functions one after another; those that are like none before by falling size.
struct Chain<'a> {
    bodies: &'a [&'a [u8]],
    /// What is left, largest last.
    left: Vec<usize>,
    /// The pieces of what is left.
    pieces: HashMap<usize, Vec<u64>>,
    /// Which of it has a piece.
    having: HashMap<u64, Vec<usize>>,
    /// Bytes of the last one.
    size: usize,
    /// Its pieces.
    last: Vec<u64>,
}

impl<'a> Chain<'a> {
    fn new(mut group: Vec<usize>, bodies: &'a [&'a [u8]]) -> Self {
        group.sort_by_key(|&function| (bodies[function].len(), function));
        let pieces: HashMap<_, _> = group.iter().map(|&f| (f, pieces(bodies[f]))).collect();
        let mut having = HashMap::<u64, Vec<usize>>::new();
        for &function in &group {
            for &piece in &pieces[&function] {
                having.entry(piece).or_default().push(function);
            }
        }
        Self {
            bodies,
            left: group,
            pieces,
            having,
            size: 0,
            last: Vec::new(),
        }
    }

    /// What shares most with the last one, if anything does; of several what is nearest to its
    /// size, then the first.
    fn nearest(&self) -> Option<usize> {
        let mut shared = BTreeMap::<usize, usize>::new();
        for piece in &self.last {
            let having = self.having.get(piece).filter(|all| all.len() <= COMMON);
            for &function in having.into_iter().flatten() {
                if self.pieces.contains_key(&function) {
                    *shared.entry(function).or_default() += 1;
                }
            }
        }
        let nearest = shared.into_iter().max_by_key(|&(function, count)| {
            let off = self.bodies[function].len().abs_diff(self.size);
            (count, Reverse(off), Reverse(function))
        });
        nearest.map(|(function, _)| function)
    }
}

impl Iterator for Chain<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let next = self.nearest().or_else(|| {
            while let Some(largest) = self.left.pop() {
                if self.pieces.contains_key(&largest) {
                    return Some(largest);
                }
            }
            None
        })?;
        self.size = self.bodies[next].len();
        self.last = self.pieces.remove(&next)?;
        for piece in &self.last {
            if let Some(having) = self.having.get_mut(piece) {
                having.retain(|&function| function != next);
            }
        }
        Some(next)
    }
}

/// Hashes of the pieces that stand for a function.
fn pieces(body: &[u8]) -> Vec<u64> {
    let hash = |piece: &[u8]| {
        let mut hasher = DefaultHasher::new();
        piece.hash(&mut hasher);
        hasher.finish()
    };
    let mut all: Vec<u64> = body.windows(PIECE.min(body.len())).map(hash).collect();
    all.sort_unstable();
    all.dedup();
    all.truncate(PIECES);
    all
}

impl Reencode for Order {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        let own = function.checked_sub(self.imported);
        Ok(own.map_or(function, |own| self.imported + self.new[own as usize]))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        let types: Vec<u32> = section.into_iter().collect::<Result<_, _>>()?;
        for &old in &self.old {
            functions.function(types[old]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        let bodies: Vec<_> = section.into_iter().collect::<Result<_, _>>()?;
        for at in 0..self.old.len() {
            self.parse_function_body(code, bodies[self.old[at]].clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::ExternalKind;

    use super::*;
    use crate::web::module;

    #[test]
    fn functions_are_what_they_were_wherever_they_are() {
        let names: Vec<String> = (0..40).map(|at| format!("function {at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let module = module::with(&names);
        let ordered = order(&module).unwrap();
        let functions = module::functions(&ordered);
        assert_ne!(functions, module::functions(&module), "another order");
        let constant = |function: u32| functions[function as usize - 1].constant;
        let mut exports = 0;
        for payload in Parser::new(0).parse_all(&ordered) {
            let Payload::ExportSection(section) = payload.unwrap() else {
                continue;
            };
            for export in section {
                let export = export.unwrap();
                assert_eq!(export.kind, ExternalKind::Func);
                let own: i32 = export.name.parse().unwrap();
                assert_eq!(constant(export.index), Some(1000 * own));
                let next = functions[export.index as usize - 1].calls.unwrap();
                assert_eq!(constant(next), Some(1000 * ((own + 1) % 40)));
                exports += 1;
            }
        }
        assert_eq!(exports, 40);
        assert!(order(b"no module").is_err());
    }

    #[test]
    fn what_is_alike_is_together() {
        let body = |seed: u8| -> Vec<u8> { (0..60u8).map(|i| i.wrapping_mul(seed)).collect() };
        let (one, two) = (body(3), body(7));
        let mut other_one = one.clone();
        other_one[30] = 0;
        let other_type = one.clone();
        let bodies = [&one[..], &two, &other_type, &other_one];
        assert_eq!(alike(&[0, 0, 1, 0], &bodies), [3, 0, 1, 2]);
    }
}
