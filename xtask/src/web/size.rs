//! What a page downloads before it fetches a model.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes at most of the scripts and one module, as servers send them: compressed by gzip.
const MOST: usize = 2 << 20;

/// Tells the sizes, and refuses more than [`MOST`].
pub fn gate(dist: &Path, modules: &[&str]) -> Result<(), String> {
    let mut files = Vec::new();
    collect(dist, &mut files).map_err(|e| format!("{}: {e}", dist.display()))?;
    println!("\n{:22}      bytes       gzip", "");
    let is_script = |file: &&PathBuf| file.extension().is_some_and(|end| end == "js");
    let mut scripts = (0, 0);
    for file in files.iter().filter(is_script) {
        let (raw, gzip) = sizes(file)?;
        scripts = (scripts.0 + raw, scripts.1 + gzip);
    }
    println!("{:22} {:10} {:10}", "scripts", scripts.0, scripts.1);
    for name in modules {
        let name = format!("{name}_bg.wasm");
        let module = files.iter().find(|file| file.ends_with(&name));
        let (raw, gzip) = sizes(module.ok_or_else(|| format!("there is no {name}"))?)?;
        println!("{name:22} {raw:10} {gzip:10}, with the scripts {MOST} at most");
        let all = scripts.1 + gzip;
        if all > MOST {
            let rule = format!("{name} and the scripts have {all} bytes, {MOST} are allowed");
            return Err(rule);
        }
    }
    Ok(())
}

/// All files of the package; the demo is none of it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true if path.ends_with("demo") => {}
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// Bytes of a file, and of the same compressed.
fn sizes(file: &Path) -> Result<(usize, usize), String> {
    let raw = std::fs::metadata(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let output = Command::new("gzip").args(["-9", "-c"]).arg(file).output();
    let output = output.map_err(|e| format!("gzip: {e}"))?;
    match output.status.success() {
        true => Ok((raw.len() as usize, output.stdout.len())),
        false => Err(format!("gzip cannot read {}", file.display())),
    }
}
