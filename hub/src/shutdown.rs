//! (room: shutdown)
