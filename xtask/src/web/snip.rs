//! Functions that the linker keeps and nobody calls.
//!
//! CubeCL's intermediate language comes with a parser of its text, and pliron, the framework
//! below it, registers that of each operation, type and attribute in a table. Kernels are never
//! parsed here, but a linker cannot know. So those functions trap, and with their bodies goes
//! all that only they call.

use std::collections::HashSet;
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, Function, Module};
use wasmparser::{FunctionBody, KnownCustom, Name, Parser, Payload};

/// Whether a function is pliron's parser of something, or part of the library of parsers that it
/// uses. Tables of parsers, which have that library's types in their names, are filled.
fn is_unused(name: &str) -> bool {
    let own = ["combine::", "<combine::"];
    let traits = [" as combine::", " as pliron::parsable::Parsable>"];
    own.iter().any(|start| name.starts_with(start)) || traits.iter().any(|of| name.contains(of))
}

/// Takes the bodies out of those functions; also tells how many there were.
///
/// # Errors
/// It is no module of functions with names.
pub fn snip(module: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let wrong = |error| format!("the module that the linker made: {error}");
    let mut snip = Snip::default();
    snip.find(module).map_err(|e| wrong(e.to_string()))?;
    let mut snipped = Module::new();
    let parser = Parser::new(0);
    snip.parse_core_module(&mut snipped, parser, module)
        .map_err(|e| wrong(e.to_string()))?;
    Ok((snipped.finish(), snip.unused.len()))
}

#[derive(Default)]
struct Snip {
    /// Functions whose bodies go.
    unused: HashSet<u32>,
    /// The function whose body is next.
    next: u32,
}

impl Snip {
    fn find(&mut self, module: &[u8]) -> wasmparser::Result<()> {
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => self.next = functions(imports)?,
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        self.read(names)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read(&mut self, names: wasmparser::NameSectionReader<'_>) -> wasmparser::Result<()> {
        for names in names {
            if let Name::Function(names) = names? {
                for naming in names {
                    let naming = naming?;
                    if is_unused(&plain(naming.name)) {
                        self.unused.insert(naming.index);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A name without its crates' hashes, `crate[0123456789abcdef]::..`.
fn plain(name: &str) -> String {
    let mut parts = name.split('[');
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once(']').map_or(part, |(_, after)| after));
    [first].into_iter().chain(rest).collect()
}

/// How many of the imports are functions.
pub fn functions(imports: wasmparser::ImportSectionReader<'_>) -> wasmparser::Result<u32> {
    let mut count = 0;
    for import in imports.into_imports() {
        count += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
    }
    Ok(count)
}

impl Reencode for Snip {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let unused = self.unused.contains(&self.next);
        self.next += 1;
        if !unused {
            return reencode::utils::parse_function_body(self, code, body);
        }
        let mut trap = Function::new([]);
        trap.instructions().unreachable().end();
        code.function(&trap);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::module;

    #[test]
    fn what_nobody_calls_traps_and_the_rest_stays() {
        let names = [
            "pliron::parsable::Parsable",
            "<Table<(OpId, fn(&mut combine[34cd]::stream::Stream<char>))>>::insert",
            "<cubecl_ir[12ab]::Type as pliron[34cd]::parsable::Parsable>::parse",
            "<(A, B) as combine[34cd]::parser::Parser<char>>::parse_lazy",
            "combine[34cd]::parser::choice::optional",
        ];
        let module = module::with(&names);
        let (snipped, count) = snip(&module).unwrap();
        assert_eq!(count, 3);
        let (before, after) = (module::functions(&module), module::functions(&snipped));
        assert_eq!(after[..2], before[..2]);
        let trap = [0, 0, 0x0b];
        assert!(after[2..].iter().all(|function| function.body == trap));
        assert!(snip(b"no module").is_err());
    }
}
