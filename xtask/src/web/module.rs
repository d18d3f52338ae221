//! Small modules for tests.

use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Module, NameMap, NameSection, TypeSection, ValType,
};
use wasmparser::{Operator, Parser, Payload};

/// What is known of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// Its bytes.
    pub body: Vec<u8>,
    /// Its first constant.
    pub constant: Option<i32>,
    /// The function that it calls.
    pub calls: Option<u32>,
}

/// A module of functions with names, after an imported one. Each has its number times 1000 as
/// a constant, calls the next one, the last the first, and is exported by its number. Every
/// second one returns something.
pub fn with(names: &[&str]) -> Vec<u8> {
    let mut module = Module::new();
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    types.ty().function([], []);
    types.ty().function([], [ValType::I32]);
    imports.import("a page", "a function", EntityType::Function(0));
    module.section(&types).section(&imports);
    let (mut functions, mut exports) = (FunctionSection::new(), ExportSection::new());
    let (mut code, mut known) = (CodeSection::new(), NameMap::new());
    for (at, name) in (0..).zip(names) {
        let (own, next) = (at + 1, 1 + (at + 1) % names.len() as u32);
        functions.function(at % 2);
        exports.export(&at.to_string(), ExportKind::Func, own);
        known.append(own, name);
        let mut body = Function::new([]);
        body.instructions().i32_const(1000 * at as i32).drop();
        body.instructions().call(next);
        match (at % 2, (next - 1) % 2) {
            (0, 1) => body.instructions().drop().end(),
            (1, 0) => body.instructions().i32_const(7).end(),
            _ => body.instructions().end(),
        };
        code.function(&body);
    }
    module.section(&functions).section(&exports).section(&code);
    let mut section = NameSection::new();
    section.functions(&known);
    module.section(&section);
    module.finish()
}

/// The functions of a module that are its own.
pub fn functions(module: &[u8]) -> Vec<Known> {
    let of = |payload| match payload {
        Ok(Payload::CodeSectionEntry(body)) => Some(body),
        _ => None,
    };
    let bodies = Parser::new(0).parse_all(module).filter_map(of);
    let known = |body: wasmparser::FunctionBody<'_>| {
        let mut known = Known {
            body: body.as_bytes().to_vec(),
            constant: None,
            calls: None,
        };
        for operator in body.get_operators_reader().unwrap() {
            match operator.unwrap() {
                Operator::I32Const { value } => _ = known.constant.get_or_insert(value),
                Operator::Call { function_index } => known.calls = Some(function_index),
                _ => {}
            }
        }
        known
    };
    bodies.map(known).collect()
}
