//! Loads a hub.
fn main() {}
