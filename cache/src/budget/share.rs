//! How stored heads and stored bodies share their room. Decided here, without a store.
//!
//! Small responses are what most clients wait for, so heads are guaranteed the greater part; but
//! room that one of the two does not use belongs to the other, or a node of large files would keep
//! three sixteenths of its memory and one of small pages would leave those empty. Each may hold
//! what the other leaves, less a slack: what the other may grow by until the limits are set anew.

/// Sixteenths of the memory that heads and bodies have together.
const ROOM: usize = 9;
/// Sixteenths that heads are never denied.
const HEADS: usize = 6;
/// Sixteenths that bodies are never denied.
const BODIES: usize = ROOM - HEADS;
/// The slack is this part of a sixteenth.
const SLACK: usize = 2;

/// The room of heads and bodies, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shares {
    room_bytes: usize,
    heads_bytes: usize,
    bodies_bytes: usize,
    slack_bytes: usize,
}

impl Shares {
    /// Of a memory of this size.
    pub const fn of(memory_bytes: usize) -> Self {
        let sixteenth = memory_bytes / 16;
        Self {
            room_bytes: sixteenth * ROOM,
            heads_bytes: sixteenth * HEADS,
            bodies_bytes: sixteenth * BODIES,
            slack_bytes: sixteenth / SLACK,
        }
    }

    /// What heads and bodies may hold while they hold so much.
    pub fn limits(&self, heads_used: usize, bodies_used: usize) -> (usize, usize) {
        let left = |used: usize| self.room_bytes.saturating_sub(used + self.slack_bytes);
        (self.heads_bytes.max(left(bodies_used)), self.bodies_bytes.max(left(heads_used)))
    }

    /// Whether a use that was `then` when the limits were set has moved so far that they must be
    /// set anew. Well under the slack: what comes meanwhile has room in the rest.
    pub fn moved(&self, then: usize, now: usize) -> bool {
        then.abs_diff(now) > self.slack_bytes / 2
    }

    /// What is guaranteed to heads and to bodies.
    pub const fn guaranteed(&self) -> (usize, usize) {
        (self.heads_bytes, self.bodies_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: usize = 1 << 20;

    #[test]
    fn who_is_alone_has_almost_all_the_room() {
        let shares = Shares::of(16 * UNIT);
        assert_eq!(shares.limits(0, 0), (9 * UNIT - UNIT / 2, 9 * UNIT - UNIT / 2));
        assert_eq!(shares.limits(0, 8 * UNIT).0, 6 * UNIT, "heads keep what is theirs");
        assert_eq!(shares.limits(8 * UNIT, 0).1, 3 * UNIT, "bodies keep what is theirs");
    }

    proptest::proptest! {
        /// Both fill up to their limits, which are set anew when one has moved: from any state the
        /// sum comes into the room and stays there, but for the slack.
        #[test]
        fn the_sum_stays_within_the_room(
            steps in proptest::collection::vec((0usize..UNIT / 4, 0usize..UNIT / 4), 1..200),
        ) {
            let shares = Shares::of(16 * UNIT);
            let (mut heads, mut bodies, mut set) = (0, 0, (0, 0));
            let mut limits = shares.limits(0, 0);
            for (more_heads, more_bodies) in steps {
                heads = (heads + more_heads).min(limits.0);
                bodies = (bodies + more_bodies).min(limits.1);
                if shares.moved(set.0, heads) || shares.moved(set.1, bodies) {
                    set = (heads, bodies);
                    limits = shares.limits(heads, bodies);
                    // Who is over its limit evicts.
                    heads = heads.min(limits.0);
                    bodies = bodies.min(limits.1);
                }
                proptest::prop_assert!(heads + bodies <= 9 * UNIT + UNIT / 2);
            }
        }
    }
}
