//! Reads a file for a client. What is in the page cache is read directly on the async thread; only reads from disk use
//! a blocking thread.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::spawn_blocking;

/// Bytes per read.
const CHUNK: usize = 128 * 1024;

/// Streams a range of a file. A file that was truncated meanwhile is an error: its reader must not take it for
/// complete.
pub(super) fn read(file: File, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let reader = Reader { file: Arc::new(file), rest: range, buffers: BufferPool::default(), cached: true };
    stream::try_unfold(reader, |mut reader| async move { Ok(reader.next().await?.map(|bytes| (bytes, reader))) })
}

struct Reader {
    file: Arc<File>,
    rest: Range<u64>,
    buffers: BufferPool,
    /// Whether the file system supports reads of cached data only.
    cached: bool,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let left = self.rest.end.saturating_sub(self.rest.start);
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        if wanted == 0 {
            return Ok(None);
        }
        let mut buffer = self.buffers.take();
        let read = if let Some(read) = self.read_cached(&mut buffer[..wanted])? {
            read
        } else {
            let (file, position) = (Arc::clone(&self.file), self.rest.start);
            let filling = spawn_blocking(move || {
                let read = file.read_at(&mut buffer[..wanted], position)?;
                io::Result::Ok((buffer, read))
            });
            let (filled, read) = filling.await.map_err(io::Error::other)??;
            buffer = filled;
            read
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.start += read as u64;
        Ok(Some(self.buffers.lend(buffer, read)))
    }

    /// Reads what is cached, or returns `None` if the read would block.
    fn read_cached(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.cached {
            return Ok(None);
        }
        let found =
            rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(buffer)], self.rest.start, ReadWriteFlags::NOWAIT);
        match found {
            Ok(read) => Ok(Some(read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.cached = false;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Buffers that are reused once their data has been sent.
#[derive(Default, Clone)]
struct BufferPool(Arc<Mutex<Vec<Box<[u8]>>>>);

impl BufferPool {
    fn take(&self) -> Box<[u8]> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice())
    }

    fn lend(&self, buffer: Box<[u8]>, length: usize) -> Bytes {
        Bytes::from_owner(PooledBuffer { buffer, length, pool: self.clone() })
    }
}

struct PooledBuffer {
    buffer: Box<[u8]>,
    length: usize,
    pool: BufferPool,
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
