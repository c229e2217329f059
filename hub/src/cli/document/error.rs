//! What is wrong with a file, and where.

/// A file that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{reason}", at(path))]
pub(crate) struct DocumentError {
    /// The file, as named on the command line.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in bytes, from 1.
    pub(crate) column: usize,
    /// The way to the value: `services.ad.port`.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) reason: String,
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{path}`: ") }
}
