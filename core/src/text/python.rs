//! What Hugging Face's Python adds to Jinja for chat templates.

use std::fmt;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Adds Python's string and dictionary methods and the functions that templates call.
pub(super) fn install(env: &mut Environment<'_>) {
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_filter("tojson", tojson);
    env.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            let error = Error::new(ErrorKind::InvalidOperation, "raise_exception");
            Err(error.with_source(Raised(message)))
        },
    );
    // A browser has no clock here. Templates ask `strftime_now is defined` and have a
    // date of their own where it is not.
    #[cfg(not(target_family = "wasm"))]
    env.add_function("strftime_now", |format: &str| {
        super::clock::strftime_now(format).map_err(|code| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("strftime_now: no code %{code}"),
            )
        })
    });
}

/// The message of a template's `raise_exception`, as the source of the engine's error.
#[derive(Debug)]
pub(super) struct Raised(pub String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// Python's `json.dumps(value, ensure_ascii=False)`. The engine's own filter escapes
/// for HTML, which models have not been trained on.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: ensure_ascii=True",
        ));
    }
    options.assert_all_used()?;
    match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            dump(value, PrettyFormatter::with_indent(indent.as_bytes()))
        }
        None => dump(value, OneLine),
    }
}

fn dump(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let mut json = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut json, formatter))
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "tojson").with_source(error))?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

/// JSON on one line with a space after `,` and `:`, as Python writes it.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
