//! What stands around a value on disk: `magic, version, length, crc`, twelve bytes before it.
//!
//! The engine has a checksum of its own, but it finds entries by a 64-bit hash and has lost or
//! mixed up entries before; so each value says whose it is. The CRC covers the key, the frame
//! and the payload: bytes that belong to another key, another version or another length fail
//! as surely as flipped ones. The key itself is stored once, by the engine.
//!
//! A frame that does not fit is *not* a decoding error (the engine would hide it as a plain
//! miss): it decodes to a damaged value and [`Framed::open`] tells the caller, who counts it.
//!
//! With the engine's 36 bytes and the 12-byte key, a chunk of `CHUNK_BYTES` fills exactly
//! sixteen pages: 36 + 12 + 12 + 65,472 ≤ 65,536.

use std::io::{Read, Write};

use bytes::Bytes;

use super::slot::Slot;

const MAGIC: [u8; 3] = *b"SlV";
const FRAME_VERSION: u8 = 1;

/// Bytes before the payload.
pub(super) const FRAME_BYTES: usize = 12;

/// Bytes that the engine itself puts before an entry.
pub(super) const ENGINE_ENTRY_BYTES: usize = 36;

/// Longest value that may go to disk, in bytes; longer ones are refused before they are queued.
pub(super) const VALUE_BYTES_MAX: usize = 512 * 1024;

/// A value with its frame.
#[derive(Debug)]
pub(super) enum Framed {
    /// On its way to disk.
    Outgoing(Slot, Bytes),
    /// Read back: the payload, the CRC that stood in the frame, and the hash over the payload,
    /// made where the reading was done.
    Incoming(Bytes, u32, crc32fast::Hasher),
    /// Read back, and the frame made no sense.
    Damaged,
}

impl Framed {
    /// The payload, if it is what was stored under `slot`.
    pub(super) fn open(&self, slot: Slot) -> Option<Bytes> {
        match self {
            // Still on its way to disk: the engine answers from its write queue.
            Self::Outgoing(owner, payload) => (*owner == slot).then(|| payload.clone()),
            Self::Incoming(payload, stored, over_payload) => {
                (crc_of(slot, payload.len() as u32, over_payload) == *stored)
                    .then(|| payload.clone())
            }
            Self::Damaged => None,
        }
    }

    /// Length of the payload, in bytes.
    fn len(&self) -> usize {
        match self {
            Self::Outgoing(_, payload) | Self::Incoming(payload, ..) => payload.len(),
            Self::Damaged => 0,
        }
    }
}

impl foyer::Code for Framed {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let Self::Outgoing(slot, payload) = self else {
            // The engine rewrites nothing (no reinsertion, no write on eviction).
            return Err(foyer::Error::new(foyer::ErrorKind::External, "value came from disk"));
        };
        let mut over_payload = crc32fast::Hasher::new();
        over_payload.update(payload);
        let length = payload.len() as u32;
        let mut frame = [0; FRAME_BYTES];
        frame[..8].copy_from_slice(&opening(length));
        frame[8..].copy_from_slice(&crc_of(*slot, length, &over_payload).to_le_bytes());
        writer.write_all(&frame).map_err(foyer::Error::io_error)?;
        writer.write_all(payload).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let mut frame = [0; FRAME_BYTES];
        if reader.read_exact(&mut frame).is_err() {
            return Ok(Self::Damaged);
        }
        let word = |at: usize| {
            u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        let (length, stored) = (word(4), word(8));
        if frame[..8] != opening(length) || length as usize > VALUE_BYTES_MAX {
            return Ok(Self::Damaged);
        }
        let mut payload = vec![0; length as usize];
        if reader.read_exact(&mut payload).is_err() {
            return Ok(Self::Damaged);
        }
        let mut over_payload = crc32fast::Hasher::new();
        over_payload.update(&payload);
        Ok(Self::Incoming(Bytes::from(payload), stored, over_payload))
    }

    fn estimated_size(&self) -> usize {
        FRAME_BYTES + self.len()
    }
}

/// The first eight bytes of a frame.
fn opening(length: u32) -> [u8; 8] {
    let [a, b, c, d] = length.to_le_bytes();
    [MAGIC[0], MAGIC[1], MAGIC[2], FRAME_VERSION, a, b, c, d]
}

/// CRC over key, opening and payload.
fn crc_of(slot: Slot, length: u32, over_payload: &crc32fast::Hasher) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&slot.encoded());
    crc.update(&opening(length));
    crc.combine(over_payload);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use foyer::Code;

    use super::super::{CHUNK_BYTES, Part, StoreKey};
    use super::*;
    use crate::store::slot::SLOT_BYTES;

    fn slot(object: u64, number: u32) -> Slot {
        Slot::from(StoreKey { object, part: Part::Chunk(number) })
    }

    fn written(payload: &'static [u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Framed::Outgoing(slot(7, 1), Bytes::from_static(payload))
            .encode(&mut bytes)
            .expect("a vector takes all");
        bytes
    }

    #[test]
    fn a_full_chunk_fills_whole_pages() {
        const { assert!(ENGINE_ENTRY_BYTES + SLOT_BYTES + FRAME_BYTES + CHUNK_BYTES <= 16 * 4096) }
    }

    #[test]
    fn what_was_written_opens_under_its_own_key_only() {
        let bytes = written(b"payload");
        let read = Framed::decode(&mut bytes.as_slice()).expect("decoding never fails");
        assert_eq!(read.open(slot(7, 1)).as_deref(), Some(b"payload".as_slice()));
        assert_eq!(read.open(slot(7, 2)), None);
        assert_eq!(read.open(slot(8, 1)), None);
    }

    #[test]
    fn any_flipped_byte_and_any_cut_is_told() {
        let whole = written(b"payload");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let read = Framed::decode(&mut bytes.as_slice()).expect("decoding never fails");
            assert_eq!(read.open(slot(7, 1)), None, "byte {at}");
            let cut = Framed::decode(&mut &whole[..at]).expect("decoding never fails");
            assert_eq!(cut.open(slot(7, 1)), None, "cut at {at}");
        }
    }
}
