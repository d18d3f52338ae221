//! One transformer for the LLaMA family, driven by its configuration.

mod config;
mod load;
mod rotary;
mod transformer;

pub use config::{ModelConfig, RopeScaling};
pub use load::{DEFAULT_CONTEXT, LoadOptions};
pub(crate) use rotary::{divisors as rotary_divisors, table as rotary_table};
pub use transformer::{Features, Transformer};
