//! (room: tenant)
