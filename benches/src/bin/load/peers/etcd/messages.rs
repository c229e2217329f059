//! The few messages of etcd that a watcher and a writer need, with their numbers
//! from etcd's `api/etcdserverpb/rpc.proto` and `api/mvccpb/kv.proto` (etcd 3.4 and
//! later). Fields that are neither sent nor read here are left out.

use prost::{Message, Oneof};

/// Writes a key.
pub(super) const PUT: &str = "/etcdserverpb.KV/Put";

/// Watches ranges of keys.
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    pub(super) cluster_id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) member_id: u64,
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
    #[prost(uint64, tag = "4")]
    pub(super) raft_term: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchRequest {
    #[prost(oneof = "Request", tags = "1")]
    pub(super) request: Option<Request>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Request {
    #[prost(message, tag = "1")]
    Create(WatchCreateRequest),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: bytes::Bytes,
    /// Where the range ends; that key is not in it.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) range_end: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
    #[prost(int64, tag = "2")]
    pub(super) watch_id: i64,
    #[prost(bool, tag = "3")]
    pub(super) created: bool,
    #[prost(bool, tag = "4")]
    pub(super) canceled: bool,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// 0: written; 1: deleted.
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: bytes::Bytes,
    #[prost(int64, tag = "2")]
    pub(super) create_revision: i64,
    #[prost(int64, tag = "3")]
    pub(super) mod_revision: i64,
    /// Counts the writes of the key, from 1.
    #[prost(int64, tag = "4")]
    pub(super) version: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) value: bytes::Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_of_its_definition() {
        let create = WatchCreateRequest { key: "a".into(), range_end: "b".into() };
        let request = WatchRequest { request: Some(Request::Create(create)) };
        assert_eq!(request.encode_to_vec(), b"\x0a\x06\x0a\x01a\x12\x01b");
        let put = PutRequest { key: "a".into(), value: "v".into() };
        assert_eq!(put.encode_to_vec(), b"\x0a\x01a\x12\x01v");
    }

    #[test]
    fn an_answer_is_understood_and_what_is_unknown_in_it_is_skipped() {
        // header {revision: 5}, watch_id: 2, compact_revision: 9, cancel_reason: "x",
        // events: {type: PUT, kv: {key: "a", mod_revision: 5, version: 3, value: "v"}}.
        let bytes = b"\x0a\x02\x18\x05\x10\x02\x28\x09\x32\x01x\
            \x5a\x0c\x12\x0a\x0a\x01a\x18\x05\x20\x03\x2a\x01v";
        let response = WatchResponse::decode(&bytes[..]).unwrap();
        assert_eq!((response.watch_id, response.created, response.canceled), (2, false, false));
        assert_eq!(response.header.unwrap().revision, 5);
        let kv = response.events[0].kv.clone().unwrap();
        assert_eq!(
            (kv.version, kv.mod_revision, &kv.value[..], response.events[0].kind),
            (3, 5, &b"v"[..], 0)
        );
    }
}
