//! Writes the honest inputs of every fuzz target to `fuzz/corpus`, in place of the earlier ones.

#![expect(clippy::print_stdout, reason = "a command says what it did")]

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let (mut files, mut bytes) = (0, 0);
    for (target, inputs) in offchain_testkit::fuzz::corpus() {
        let folder = all.join(target);
        fs::create_dir_all(&folder)?;
        for file in fs::read_dir(&folder)? {
            let path = file?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("honest-")) {
                fs::remove_file(path)?;
            }
        }
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("honest-{number:02}")), input)?;
            files += 1;
            bytes += input.len();
        }
    }
    println!("{files} inputs of {bytes} bytes");
    Ok(())
}
