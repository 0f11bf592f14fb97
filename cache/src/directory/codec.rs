//! Bytes of the journal: file headers, frames, records. Little-endian, lengths before contents.
//!
//! ```text
//! header  magic[8] version:u32 kind:u32 generation:u64 ledger:u64 epoch:u64 crc:u32
//! frame   length:u32 crc:u32 payload[length]        crc over length and payload
//! payload 1 record | 2 head:u64 | 3 count:u64
//! ```
//!
//! Reading is total: any bytes give a value or an error, never a panic, and never an allocation
//! beyond what the bytes themselves can fill.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{Record, Varied};
use crate::invalidate::{LedgerId, Position};
use crate::policy::Fresh;
use crate::range::{ByteRange, Parts, Piece};
use crate::variant::Vary;
use crate::{CacheKey, Millis};

const MAGIC: [u8; 8] = *b"SLVGDIR\n";

/// Version of headers, frames and records.
pub(super) const VERSION: u32 = 2;

/// Bytes of a file header.
pub(super) const HEADER_BYTES: usize = 44;

/// Bytes before a payload.
const FRAME_BYTES: usize = 8;

/// A longer frame is damage: a record has at most some hundred tags and field names.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// All records of one moment.
    Snapshot,
    /// What changed since the snapshot of the same generation.
    Log,
}

/// First bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) generation: u64,
    pub(super) ledger: LedgerId,
    pub(super) epoch: u64,
}

/// Why bytes were not understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unreadable {
    /// They end too early: a writer was interrupted.
    Short,
    /// Checksum or content is wrong.
    Damaged,
    /// Another program or another version wrote them.
    Foreign,
}

/// One entry of a file.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Event {
    /// A record appeared or changed.
    Put(Box<Record>),
    /// The record with this head is gone.
    Gone(u64),
    /// End of a snapshot of so many records.
    End(u64),
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.kind as u32).to_le_bytes());
        for word in [self.generation, self.ledger.0, self.epoch] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields above have this length")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            // A cut header is ours only as far as it goes.
            let ours = bytes.iter().zip(MAGIC).all(|(byte, expected)| *byte == expected);
            return Err(if ours { Unreadable::Short } else { Unreadable::Foreign });
        };
        let mut fields = Fields(bytes);
        if fields.take(8)? != MAGIC || fields.u32()? != VERSION {
            return Err(Unreadable::Foreign);
        }
        let kind = fields.u32()?;
        let (generation, ledger, epoch) = (fields.u64()?, LedgerId(fields.u64()?), fields.u64()?);
        if fields.u32()? != crc32fast::hash(&bytes[..HEADER_BYTES - 4]) {
            return Err(Unreadable::Damaged);
        }
        let kind = match kind {
            0 => Kind::Snapshot,
            1 => Kind::Log,
            _ => return Err(Unreadable::Damaged),
        };
        Ok(Self { kind, generation, ledger, epoch })
    }
}

/// Appends a frame with a record.
pub(super) fn put(out: &mut Vec<u8>, record: &Record) {
    frame(out, |out| {
        out.push(1);
        write_record(out, record);
    });
}

/// Appends a frame that says that a head is gone.
pub(super) fn gone(out: &mut Vec<u8>, head: u64) {
    frame(out, |out| {
        out.push(2);
        out.extend_from_slice(&head.to_le_bytes());
    });
}

/// Appends the last frame of a snapshot.
pub(super) fn end(out: &mut Vec<u8>, count: u64) {
    frame(out, |out| {
        out.push(3);
        out.extend_from_slice(&count.to_le_bytes());
    });
}

/// Reads the frame at the beginning of `bytes`: the event and the length of the frame.
pub(super) fn next(bytes: &[u8]) -> Result<(Event, usize), Unreadable> {
    let mut fields = Fields(bytes);
    let (length, crc) = (fields.u32()?, fields.u32()?);
    if length as usize > PAYLOAD_BYTES_MAX {
        return Err(Unreadable::Damaged);
    }
    let payload = fields.take(length as usize)?;
    if crc != crc_of(length, payload) {
        return Err(Unreadable::Damaged);
    }
    let mut fields = Fields(payload);
    let event = match fields.u8()? {
        1 => Event::Put(Box::new(read_record(&mut fields)?)),
        2 => Event::Gone(fields.u64()?),
        3 => Event::End(fields.u64()?),
        _ => return Err(Unreadable::Damaged),
    };
    if !fields.0.is_empty() {
        return Err(Unreadable::Damaged);
    }
    Ok((event, FRAME_BYTES + length as usize))
}

fn frame(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    payload(out);
    let length = (out.len() - start - FRAME_BYTES) as u32;
    let crc = crc_of(length, &out[start + FRAME_BYTES..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + FRAME_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn crc_of(length: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

const TAGS_OVERFLOW: u8 = 1;
const VARIED: u8 = 1 << 1;
const INLINE: u8 = 1 << 2;
const LANGUAGE: u8 = 1 << 3;
const PARTS: u8 = 1 << 4;
const PARTS_TAG: u8 = 1 << 5;

/// `local` is left out: it means nothing to another process.
fn write_record(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(&record.key.0);
    let Fresh { received, age_s, lifetime_s, swr_s, sie_s, flags, status } = record.fresh;
    for word in [
        record.head,
        record.body,
        record.length,
        record.sent.0,
        record.checked.0,
        record.validated.0,
        record.stale_since.0,
        received.0,
    ] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for word in [age_s, lifetime_s, swr_s, sie_s, record.head_bytes] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&status.to_le_bytes());
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        bit(record.tags_overflow, TAGS_OVERFLOW)
            | bit(record.varied.is_some(), VARIED)
            | bit(record.inline, INLINE)
            | bit(record.varied.as_ref().is_some_and(|v| v.language.is_some()), LANGUAGE)
            | bit(record.parts.is_some(), PARTS)
            | bit(record.parts.as_ref().is_some_and(|parts| parts.tag.is_some()), PARTS_TAG),
    );
    out.extend_from_slice(&(record.tags.len() as u32).to_le_bytes());
    for tag in &record.tags {
        out.extend_from_slice(&tag.to_le_bytes());
    }
    if let Some(varied) = &record.varied {
        out.extend_from_slice(&varied.selected);
        out.extend_from_slice(varied.language.as_ref().map_or(&[][..], |hash| hash));
        out.extend_from_slice(&(varied.vary.0.len() as u32).to_le_bytes());
        for name in &varied.vary.0 {
            out.extend_from_slice(&(name.as_str().len() as u32).to_le_bytes());
            out.extend_from_slice(name.as_str().as_bytes());
        }
    }
    if let Some(parts) = &record.parts {
        write_parts(out, parts);
    }
}

fn write_parts(out: &mut Vec<u8>, parts: &Parts) {
    if let Some(tag) = &parts.tag {
        out.extend_from_slice(&(tag.len() as u32).to_le_bytes());
        out.extend_from_slice(tag.as_bytes());
    }
    out.extend_from_slice(&(parts.pieces().len() as u32).to_le_bytes());
    for piece in parts.pieces() {
        for word in [piece.range.first, piece.range.last, piece.object, piece.offset] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
}

fn read_parts(fields: &mut Fields<'_>, tagged: bool) -> Result<Parts, Unreadable> {
    let tag = if tagged { Some(fields.value()?) } else { None };
    let count = fields.count(32)?;
    let piece = |_| {
        let range = ByteRange { first: fields.u64()?, last: fields.u64()? };
        Ok(Piece { range, object: fields.u64()?, offset: fields.u64()? })
    };
    let pieces = (0..count).map(piece).collect::<Result<_, _>>()?;
    Parts::from_pieces(tag, pieces).ok_or(Unreadable::Damaged)
}

fn read_record(fields: &mut Fields<'_>) -> Result<Record, Unreadable> {
    let key = CacheKey(fields.array()?);
    let (head, body, length) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (sent, checked, validated) =
        (Position(fields.u64()?), Position(fields.u64()?), Position(fields.u64()?));
    let (stale_since, received) = (Millis(fields.u64()?), Millis(fields.u64()?));
    let (age_s, lifetime_s, swr_s, sie_s) =
        (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
    let head_bytes = fields.u32()?;
    let (flags, status) = (fields.u16()?, fields.u16()?);
    let bits = fields.u8()?;
    let count = fields.count(8)?;
    let tags = (0..count).map(|_| fields.u64()).collect::<Result<_, _>>()?;
    let varied = if bits & VARIED == 0 {
        None
    } else {
        let selected = fields.array()?;
        let language = if bits & LANGUAGE == 0 { None } else { Some(fields.array()?) };
        let count = fields.count(4)?;
        let names = (0..count).map(|_| fields.name()).collect::<Result<_, _>>()?;
        Some(Arc::new(Varied { vary: Vary(names), selected, language }))
    };
    let parts = if bits & PARTS == 0 {
        None
    } else {
        Some(Arc::new(read_parts(fields, bits & PARTS_TAG != 0)?))
    };
    Ok(Record {
        key,
        head,
        body,
        length,
        fresh: Fresh { received, age_s, lifetime_s, swr_s, sie_s, flags, status },
        sent,
        checked,
        validated,
        local: 0,
        stale_since,
        tags,
        tags_overflow: bits & TAGS_OVERFLOW != 0,
        varied,
        inline: bits & INLINE != 0,
        parts,
        head_bytes,
    })
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, left) = self.0.split_at_checked(length).ok_or(Unreadable::Short)?;
        self.0 = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, left) = self.0.split_first_chunk().ok_or(Unreadable::Short)?;
        self.0 = left;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Unreadable> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, Unreadable> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of elements of at least `each` bytes: no more than the bytes that are left hold.
    fn count(&mut self, each: usize) -> Result<u32, Unreadable> {
        let count = self.u32()?;
        if count as usize > self.0.len() / each { Err(Unreadable::Damaged) } else { Ok(count) }
    }

    fn value(&mut self) -> Result<HeaderValue, Unreadable> {
        let length = self.u32()?;
        HeaderValue::from_bytes(self.take(length as usize)?).map_err(|_| Unreadable::Damaged)
    }

    fn name(&mut self) -> Result<HeaderName, Unreadable> {
        let length = self.u32()?;
        HeaderName::from_bytes(self.take(length as usize)?).map_err(|_| Unreadable::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    fn parts(tag: Option<HeaderValue>) -> Parts {
        let piece = |object, first, last| Piece {
            range: ByteRange { first, last },
            object,
            offset: object,
        };
        Parts::new(tag, piece(4, 10, 19)).with(piece(5, 15, 40))
    }

    fn full() -> Record {
        let vary = Vary(Box::new([http::header::ACCEPT, http::header::ACCEPT_ENCODING]));
        Record {
            tags: Box::new([1, u64::MAX]),
            tags_overflow: true,
            varied: Some(Arc::new(Varied { vary, selected: [7; 32], language: Some([8; 32]) })),
            parts: Some(Arc::new(parts(Some(HeaderValue::from_static("\"v1\""))))),
            ..record(3, 9)
        }
    }

    #[test]
    fn records_come_back_as_they_were_but_for_the_local_counter() {
        let untagged = Record { parts: Some(Arc::new(parts(None))), ..record(1, 2) };
        for record in [full(), untagged, record(1, 2)] {
            let mut bytes = Vec::new();
            put(&mut bytes, &Record { local: 77, ..record.clone() });
            gone(&mut bytes, 5);
            let (event, length) = next(&bytes).expect("it was just written");
            assert_eq!(event, Event::Put(Box::new(Record { local: 0, ..record })));
            let (event, rest) = next(&bytes[length..]).expect("it was just written");
            assert_eq!((event, length + rest), (Event::Gone(5), bytes.len()));
        }
    }

    /// From a disk: any bytes are a record or none, and a record that is read is written the same.
    #[test]
    fn fuzz_records() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let _header = Header::decode(bytes);
            let Ok((Event::Put(record), length)) = next(bytes) else { return };
            let mut again = Vec::new();
            put(&mut again, &record);
            assert_eq!(again, bytes[..length]);
        });
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        put(&mut bytes, &full());
        for at in 0..bytes.len() {
            assert_eq!(next(&bytes[..at]), Err(Unreadable::Short), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(next(&flipped).is_err(), "byte {at}");
        }
        let header = Header { kind: Kind::Log, generation: 1, ledger: LedgerId(2), epoch: 3 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in 0..bytes.len() {
            assert!(Header::decode(&bytes[..at]).is_err());
            let mut flipped = bytes;
            flipped[at] ^= 1 << (at % 8);
            assert!(Header::decode(&flipped).is_err(), "byte {at}");
        }
    }
}
