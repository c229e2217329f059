//! What a subscriber does with the bytes of its stream.

use crate::ledger::{Reader, Totals};
use confhub_benches::messages::Messages;
use h2::RecvStream;
use std::cell::RefCell;
use std::rc::Rc;

/// Reads a stream into its reader until it ends, which it should not.
pub(crate) async fn follow(mut stream: RecvStream, reader: Rc<RefCell<Reader>>, totals: Rc<RefCell<Totals>>) {
    let mut messages = Messages::default();
    while let Some(Ok(bytes)) = stream.data().await {
        let released = stream.flow_control().release_capacity(bytes.len());
        if released.is_err() {
            break;
        }
        messages.push(bytes);
        for message in messages.by_ref() {
            reader.borrow_mut().take(message);
        }
    }
    totals.borrow_mut().broken += 1;
}
