//! A queue in which callers take turns: the next item is the oldest one of the caller whose turn it is. Its bound is what
//! the items hold, such as a [`super::Permit`].

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::mpsc;

use super::Caller;

/// Number of empty lines that are kept for the next callers.
const SPARE: usize = 16;

/// A queue of items.
pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, incoming) = mpsc::unbounded_channel();
    (Sender(sender), Receiver { incoming, lines: VecDeque::new(), spare: Vec::new() })
}

/// An item with its caller, which must be alive as long as the item waits.
struct Item<T> {
    caller: Option<Arc<Caller>>,
    item: T,
}

/// The sending side. The queue ends when all clones are dropped.
pub(crate) struct Sender<T>(mpsc::UnboundedSender<Item<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The receiving side is gone.
#[derive(Debug)]
pub(crate) struct Closed;

impl<T> Sender<T> {
    /// Queues an item of the current caller.
    ///
    /// # Errors
    /// The receiving side is gone.
    pub(crate) fn send(&self, item: T) -> Result<(), Closed> {
        self.0.send(Item { caller: Caller::current(), item }).map_err(|_| Closed)
    }
}

/// The receiving side.
pub(crate) struct Receiver<T> {
    incoming: mpsc::UnboundedReceiver<Item<T>>,
    /// What waits, by caller, in the order of their turns. None is empty.
    lines: VecDeque<Line<T>>,
    spare: Vec<VecDeque<T>>,
}

struct Line<T> {
    caller: Option<Arc<Caller>>,
    items: VecDeque<T>,
}

impl<T> Receiver<T> {
    /// The next item; `None` when the queue has ended.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        if let Some(item) = self.try_recv() {
            return Some(item);
        }
        self.incoming.recv().await.map(|next| next.item)
    }

    /// The next item, if one waits.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        while let Ok(Item { caller, item }) = self.incoming.try_recv() {
            self.push(caller, item);
        }
        let mut line = self.lines.pop_front()?;
        let item = line.items.pop_front();
        if !line.items.is_empty() {
            self.lines.push_back(line);
        } else if self.spare.len() < SPARE {
            self.spare.push(line.items);
        }
        item
    }

    fn push(&mut self, caller: Option<Arc<Caller>>, item: T) {
        let id = Caller::id(caller.as_ref());
        // Few callers wait at a time; the newest is the likeliest.
        if let Some(line) = self.lines.iter_mut().rev().find(|line| Caller::id(line.caller.as_ref()) == id) {
            line.items.push_back(item);
            return;
        }
        let mut items = self.spare.pop().unwrap_or_default();
        items.push_back(item);
        self.lines.push_back(Line { caller, items });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::as_caller;

    #[tokio::test]
    async fn callers_take_turns_and_each_has_its_order() {
        let (sender, mut queue) = channel();
        let callers = ["a", "b", "c"].map(Caller::named);
        let send = async |caller: usize, item: &'static str| {
            as_caller(Arc::clone(&callers[caller]), async { sender.send(item) }).await.unwrap();
        };
        for item in ["a1", "a2", "a3", "a4", "a5"] {
            send(0, item).await;
        }
        send(1, "b1").await;
        send(1, "b2").await;
        let mut next = async || queue.recv().await.unwrap();
        assert_eq!([next().await, next().await, next().await], ["a1", "b1", "a2"]);
        send(2, "c1").await;
        sender.send("job").unwrap();
        let mut rest = Vec::new();
        while let Some(item) = queue.try_recv() {
            rest.push(item);
        }
        assert_eq!(rest, ["b2", "a3", "c1", "job", "a4", "a5"]);
        send(1, "b3").await;
        drop(sender);
        assert_eq!((queue.recv().await, queue.recv().await), (Some("b3"), None));
    }
}
