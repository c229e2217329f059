//! What is bounded here, each with its unit and reason.

/// Longest part of a refused value that an error repeats, in characters.
pub const SHOWN_CHARS: usize = 64;

/// Longest part of the place of a fault that is printed, in characters: a rule of the
/// usual depth.
pub const POINTER_CHARS: usize = 200;

/// Longest reason of a fault, in characters: with the names in it, which may be long.
pub const REASON_CHARS: usize = 600;

/// Most faults that are told of one definition: whoever has that many has one
/// mistake many times.
pub const FAULTS: usize = 16;

/// Deepest nesting of one definition or of one evaluator, and of rules once every
/// `$ref` is put in. Evaluation recurses so deep, on the stack of whoever reads a
/// flag; hand-written rules have about ten.
pub const DEPTH: usize = 48;

/// Most operators, operands and literals of a rule once every `$ref` is put in.
/// References in references multiply, so the size of what is written bounds nothing.
pub const NODES: usize = 20_000;

/// Most variants of a flag.
pub const VARIANTS: usize = 1_000;

/// Largest flagd file, in bytes: what one tenant's state may hold by default.
pub const DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// Steps of one evaluation: items that are looked at, and bytes of texts that are made.
/// Rules over arrays can multiply what they are given, and the thread that reads a
/// flag has other things to do: this is some milliseconds of it.
pub const FUEL: usize = 1_000_000;

/// Most parts of a rule that an explanation shows: nobody reads more.
pub const STEPS: usize = 500;
