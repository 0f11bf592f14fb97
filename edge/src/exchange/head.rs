//! What the answer to a forwarded HEAD says about the stored response to GET (RFC 9111 §4.3.5).
//!
//! If it is about the same bytes, the stored response is freshened as by a 304, and the answer is
//! the stored head with the new fields in it: what a GET would be given now. If it is about
//! others, the stored response is validated before its next use.

use http::Method;
use selvedge_cache::directory::Record;
use selvedge_cache::invalidate::Watermark;
use selvedge_cache::policy::freshen::{Base, HeadEffect, head_effect};

use super::post::Times;
use super::{Exchange, fetch};
use crate::origin::OriginReply;

impl Exchange {
    /// Applies the answer to a HEAD; gives back the stored response if that is the answer now.
    pub(super) async fn freshen_by_head(
        &self,
        reply: &OriginReply,
        times: Times,
        sent: Watermark,
    ) -> Option<Record> {
        if self.admitted.method != Method::HEAD || self.plan.facts.no_store {
            return None;
        }
        let record = self.shared.cache.lookup(&self.request()).record?;
        let loaded = self.shared.cache.load(&record).await?;
        let base = Base {
            status: loaded.head.status,
            headers: &loaded.head.headers,
            tags: &record.tags,
            tags_overflow: record.tags_overflow,
        };
        match head_effect(&base, Some(record.length), reply.status, &reply.headers) {
            HeadEffect::Nothing => None,
            HeadEffect::MarkStale => {
                self.shared.cache.mark_stale(&record);
                None
            }
            HeadEffect::Update => {
                let job = fetch::Job::new(self, None, None).for_get();
                job.freshen(&record, &loaded, &reply.headers, times, sent)
            }
        }
    }
}
