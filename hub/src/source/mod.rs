//! (room: source)
