//! What changed between two configurations, and when it takes effect.
//!
//! A reload applies what it can; the rest keeps its old value until a restart and is named, so
//! that nobody believes a change is in force which is not.

use std::fmt;

use super::model::Config;

/// One changed setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `site[shop].ttl.default`.
    pub path: String,
    /// The old value; `None` when there was none.
    pub before: Option<String>,
    /// The new value; `None` when it is gone.
    pub after: Option<String>,
    /// A reload applies it; otherwise it waits for a restart.
    pub applies_on_reload: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |value: &Option<String>| value.as_deref().unwrap_or("nothing").to_owned();
        write!(f, "{}: {} → {}", self.path, word(&self.before), word(&self.after))?;
        if self.applies_on_reload { Ok(()) } else { f.write_str(" (waits for a restart)") }
    }
}

/// The changes from one configuration to another, by path.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut paths: Vec<_> = old.settings.keys().chain(new.settings.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let change = |path: &String| {
        let (before, after) = (old.settings.get(path), new.settings.get(path));
        let (card, _) = before.or(after)?;
        let (before, after) = (before.map(|(_, text)| text), after.map(|(_, text)| text));
        (before != after).then(|| Change {
            path: path.clone(),
            before: before.cloned(),
            after: after.cloned(),
            applies_on_reload: card.reloadable,
        })
    };
    paths.into_iter().filter_map(change).collect()
}

/// The configuration that a reload puts in force: `new`, with what needs a restart left as it is
/// in `old`. What guards an address that stays (certificates, tokens) stays with it.
pub fn keep_until_restart(old: &Config, new: Config) -> Config {
    let mut kept = new;
    let node = &old.node;
    kept.node.listen.clone_from(&node.listen);
    kept.node.tls_listen.clone_from(&node.tls_listen);
    kept.node.admin.clone_from(&node.admin);
    kept.node.memory_bytes = node.memory_bytes;
    kept.node.workers = node.workers;
    kept.node.access_log.clone_from(&node.access_log);
    kept.node.connections_max = node.connections_max;
    kept.disk.clone_from(&old.disk);
    let mut carried = vec![];
    if kept.tls.is_empty() && !kept.node.tls_listen.is_empty() {
        kept.tls.clone_from(&old.tls);
        carried.push("tls[");
    }
    if kept.admin.tokens.is_empty() && !kept.node.admin.is_local() {
        kept.admin.tokens.clone_from(&old.admin.tokens);
        carried.push("admin.tokens[");
    }
    kept.settings.retain(|_, (card, _)| card.reloadable);
    for (path, (card, text)) in &old.settings {
        if !card.reloadable || carried.iter().any(|prefix| path.starts_with(prefix)) {
            kept.settings.insert(path.clone(), (card, text.clone()));
        }
    }
    kept
}
