//! The name of a device.

use std::fmt;
use std::str::FromStr;

use eaglet_core::error::Error;

/// Which device to open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The best one that works.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU, by index.
    Cuda(usize),
    /// A GPU through wgpu, by index.
    Wgpu(usize),
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, index.parse().ok()),
            None => (text, Some(0)),
        };
        match (kind, index, text.contains(':')) {
            ("auto", _, false) => Ok(Self::Auto),
            ("cpu", _, false) => Ok(Self::Cpu),
            ("cuda", Some(index), _) => Ok(Self::Cuda(index)),
            ("wgpu", Some(index), _) => Ok(Self::Wgpu(index)),
            _ => Err(Error::Invalid(format!(
                "unknown device `{text}`: use auto, cpu, cuda, cuda:N, wgpu or wgpu:N"
            ))),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["auto", "cpu", "cuda:0", "cuda:7", "wgpu:1"] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for name in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "wgpu:x", "CUDA"] {
            assert!(name.parse::<DeviceSpec>().is_err(), "{name}");
        }
    }
}
