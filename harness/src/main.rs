//! bitbench.
fn main() {}
