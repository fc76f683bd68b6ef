//! The `walytis` command.

fn main() {}
