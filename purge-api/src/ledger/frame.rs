//! The bytes of a ledger file.
//!
//! ```text
//! file   = header record*
//! header = magic[8] version:u32 ledger:u64 floor:u64 floor_digest[32] crc:u32          64 bytes
//! record = len:u32 position:u64 head_crc:u32 accepted_ms:u64 digest[32] text[len] crc:u32
//! ```
//!
//! All numbers little-endian; CRCs are CRC-32 (IEEE). The head of a record has a CRC of its own,
//! so that a damaged length is never taken for a record that kill -9 cut short: cutting there
//! would forget acknowledged purges. The last CRC covers the whole record.

use selvedge_cache::Millis;
use selvedge_cache::invalidate::{LedgerId, Position};

use super::entry::Digest;

/// Changes when the layout above changes.
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"selvpurg";
/// Length of the header, in bytes.
pub const HEADER_BYTES: usize = 64;
/// `len`, `position` and `head_crc`.
const HEAD_BYTES: usize = 16;
/// Everything of a record but its text.
const RECORD_BYTES_MIN: usize = HEAD_BYTES + 8 + 32 + 4;
/// Longest text of one record, in bytes; above what the HTTP surface accepts.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;

/// What stands before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Identity of the ledger.
    pub ledger: LedgerId,
    /// Entries up to here were compacted away; whatever was fetched before counts as purged.
    pub floor: Position,
    /// Running digest at the floor.
    pub floor_digest: Digest,
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.ledger.0.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.floor.0.to_le_bytes());
        bytes[28..60].copy_from_slice(&self.floor_digest);
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header, or says what is wrong with it.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, &'static str> {
        if &bytes[..8] != MAGIC {
            return Err("it does not begin as a ledger");
        }
        if u32_at(bytes, 60) != crc32fast::hash(&bytes[..60]) {
            return Err("the checksum of its header is wrong");
        }
        if u32_at(bytes, 8) != VERSION {
            return Err("it was written by another version");
        }
        Ok(Self {
            ledger: LedgerId(u64_at(bytes, 12)),
            floor: Position(u64_at(bytes, 20)),
            floor_digest: bytes[28..60].try_into().expect("32 bytes"),
        })
    }
}

/// A record as it stands in the file; checked by its CRCs only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Place in the ledger.
    pub position: Position,
    /// When it was accepted.
    pub accepted: Millis,
    /// Running digest up to and with this record.
    pub digest: Digest,
    /// The purge as JSON.
    pub text: &'a [u8],
}

/// What the bytes at some place of the file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole record of this length in bytes.
    Whole(Record<'a>, usize),
    /// The beginning of a record that needs this many bytes.
    Short(usize),
    /// No record, or a damaged one.
    Damaged(&'static str),
}

impl Record<'_> {
    /// Appends the bytes of the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.text.len() <= TEXT_BYTES_MAX, "bounded where the entry is accepted");
        let from = out.len();
        out.extend_from_slice(&(self.text.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.position.0.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out[from..]).to_le_bytes());
        out.extend_from_slice(&self.accepted.0.to_le_bytes());
        out.extend_from_slice(&self.digest);
        out.extend_from_slice(self.text);
        out.extend_from_slice(&crc32fast::hash(&out[from..]).to_le_bytes());
    }

    /// Digest of a ledger whose digest was `before` when this record follows.
    pub fn chain(&self, before: &Digest) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before);
        hasher.update(&self.position.0.to_le_bytes());
        hasher.update(&self.accepted.0.to_le_bytes());
        hasher.update(self.text);
        *hasher.finalize().as_bytes()
    }
}

/// Looks at the bytes at the beginning of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded<'_> {
    if bytes.len() < HEAD_BYTES {
        return Decoded::Short(HEAD_BYTES);
    }
    if u32_at(bytes, 12) != crc32fast::hash(&bytes[..12]) {
        return Decoded::Damaged("the checksum of a record's head is wrong");
    }
    let text_bytes = u32_at(bytes, 0) as usize;
    if text_bytes > TEXT_BYTES_MAX {
        return Decoded::Damaged("a record is longer than records can be");
    }
    let len = RECORD_BYTES_MIN + text_bytes;
    if bytes.len() < len {
        return Decoded::Short(len);
    }
    if u32_at(bytes, len - 4) != crc32fast::hash(&bytes[..len - 4]) {
        return Decoded::Damaged("the checksum of a record is wrong");
    }
    let record = Record {
        position: Position(u64_at(bytes, 4)),
        accepted: Millis(u64_at(bytes, 16)),
        digest: bytes[24..56].try_into().expect("32 bytes"),
        text: &bytes[56..len - 4],
    };
    Decoded::Whole(record, len)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        let mut out = Vec::new();
        let record =
            Record { position: Position(3), accepted: Millis(9), digest: [7; 32], text: b"{}" };
        record.encode(&mut out);
        out
    }

    #[test]
    fn every_prefix_of_a_record_is_short_and_the_whole_is_whole() {
        let all = bytes();
        for len in 0..all.len() {
            assert!(matches!(decode(&all[..len]), Decoded::Short(_)), "{len}");
        }
        assert!(matches!(decode(&all), Decoded::Whole(record, len)
            if record.text == b"{}" && record.position == Position(3) && len == all.len()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..bytes().len() * 8 {
            let mut all = bytes();
            all[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&all), Decoded::Damaged(_)), "bit {bit}");
        }
        let header = Header { ledger: LedgerId(5), floor: Position(2), floor_digest: [1; 32] };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut all = header.encode();
            all[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&all).is_err(), "bit {bit}");
        }
    }

    /// From a disk: any bytes are an entry, damage or too few, whatever stands before them.
    #[test]
    fn fuzz_frames() {
        bolero::check!().for_each(|bytes: &[u8]| {
            if let Ok(header) = bytes.try_into() {
                let _read_or_refused = Header::decode(header);
            }
            decode(bytes);
        });
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_never_a_record(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            assert!(!matches!(decode(&bytes), Decoded::Whole(..)));
        }
    }
}
