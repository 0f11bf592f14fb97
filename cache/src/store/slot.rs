//! A store key as the engines want it: twelve bytes, and a hash that costs two multiplications.
//!
//! Object ids are a counter, so a general hash would only spend time on mixing what a
//! finaliser mixes as well. The hash is written into the disk index: it must never change
//! without [`super::layout::FORMAT_VERSION`].

use std::hash::{BuildHasher, Hash, Hasher};
use std::io::{Read, Write};

use super::{Part, StoreKey};

/// The part number of a head; no body has that many chunks (2^32 × 64 KiB).
const HEAD: u32 = u32::MAX;

/// Odd, far from small multiples of the object counter: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of an encoded slot.
pub(super) const SLOT_BYTES: usize = 12;

/// A [`StoreKey`] in twelve bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    object: u64,
    part: u32,
}

impl Slot {
    /// The object id, if this is a head.
    pub(super) fn head(self) -> Option<u64> {
        (self.part == HEAD).then_some(self.object)
    }

    /// Object and part, little-endian.
    pub(super) fn encoded(self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&self.object.to_le_bytes());
        bytes[8..].copy_from_slice(&self.part.to_le_bytes());
        bytes
    }
}

impl From<StoreKey> for Slot {
    fn from(key: StoreKey) -> Self {
        let part = match key.part {
            Part::Head => HEAD,
            Part::Chunk(number) => number,
        };
        Self { object: key.object, part }
    }
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.object.wrapping_add(u64::from(self.part).wrapping_mul(SPREAD)));
    }
}

impl foyer::Code for Slot {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        writer.write_all(&self.encoded()).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let mut object = [0; 8];
        let mut part = [0; 4];
        reader.read_exact(&mut object).map_err(foyer::Error::io_error)?;
        reader.read_exact(&mut part).map_err(foyer::Error::io_error)?;
        Ok(Self { object: u64::from_le_bytes(object), part: u32::from_le_bytes(part) })
    }

    fn estimated_size(&self) -> usize {
        SLOT_BYTES
    }
}

/// Builds [`Mixer`]s; the same in every process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mix;

impl BuildHasher for Mix {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer(0)
    }
}

/// The splitmix64 finaliser over one word: a bijection, so slots with distinct words never collide.
#[derive(Debug)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn write_u64(&mut self, word: u64) {
        let mut mixed = self.0 ^ word;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn neighbouring_objects_and_chunks_have_distinct_well_spread_hashes() {
        let mut seen = HashSet::new();
        let mut shards = [0_usize; 16];
        for object in 0..200 {
            for part in (0..200).map(Part::Chunk).chain([Part::Head]) {
                let hash = Mix.hash_one(Slot::from(StoreKey { object, part }));
                assert!(seen.insert(hash));
                shards[(hash % 16) as usize] += 1;
            }
        }
        let mean = seen.len() / 16;
        assert!(shards.iter().all(|count| count.abs_diff(mean) < mean / 5), "{shards:?}");
    }

    #[test]
    fn the_hash_is_part_of_the_disk_format() {
        let key = StoreKey { object: 1 << 40 | 7, part: Part::Chunk(3) };
        assert_eq!(Mix.hash_one(Slot::from(key)), 0xb746_1012_8527_de04);
    }
}
