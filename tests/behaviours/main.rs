//! What a user of a node would notice, story by story.

mod broken;
mod collapse;
mod disk;
mod freshness;
mod invalidation;
mod large;
mod memory;
mod purge_races;
mod purge_requests;
mod purges;
mod ranges;
mod restarts;
mod stale;
mod storing;
mod validation;
mod variants;
