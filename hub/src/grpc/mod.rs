//! (room: grpc)
