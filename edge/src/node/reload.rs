//! Reload: build the new beside the old, swap, and say what changed.

use std::sync::Arc;

use selvedge_purge_api::hosts::KnownHosts;

use super::Shared;
use super::build::{self, SiteFilters};
use super::front::{Front, certificates};
use super::rules::WorldRules;
use super::run::{StartError, tokens};
use crate::upkeep::admin::AdminSources;
use crate::upkeep::config::{self, Config};

/// The parts that a reload touches.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) filters: SiteFilters,
    pub(super) shared: Arc<Shared>,
    pub(super) front: Arc<Front>,
    pub(super) sources: Arc<AdminSources>,
}

impl Running {
    /// Builds the new beside the old and swaps; on any trouble the old stays.
    pub(super) async fn reload(
        &mut self,
        reread: Option<&(dyn Fn() -> Result<Config, String> + Send)>,
    ) {
        self.shared.telemetry.reopen_access_log();
        let Some(reread) = reread else {
            tracing::warn!("reload: this node was started without a configuration file");
            return;
        };
        let new = match reread() {
            Ok(new) => new,
            Err(message) => {
                tracing::error!("reload refused, the old configuration stays:\n{message}");
                return;
            }
        };
        let changes = config::diff(&self.config, &new);
        let new = config::keep_until_restart(&self.config, new);
        if let Err(why) = self.swap(&new).await {
            tracing::error!(%why, "reload refused, the old configuration stays");
            return;
        }
        self.config = new;
        for change in &changes {
            tracing::info!("reload: {change}");
        }
        tracing::info!(changes = changes.len(), "reloaded");
    }

    async fn swap(&self, new: &Config) -> Result<(), StartError> {
        let certificates = certificates(new)?;
        let old = self.shared.world.load_full();
        let world = build::world(new, Some(&old), &self.filters, &self.shared.telemetry)?;
        let world = Arc::new(world);
        // Selectors first: a purge that comes in between is put in force under both rules.
        let rules = Arc::new(WorldRules::of(Arc::clone(&world), &self.shared.cache));
        self.sources.purges.change_rules(rules).await.map_err(|source| StartError::System {
            what: "the purge ledger did not take the new key rules",
            source,
        })?;
        let hosts = KnownHosts::new(new.admin.hosts.iter().cloned());
        self.sources.purges.change_access(tokens(new), hosts);
        self.sources.purges.change_rate(new.admin.purges_per_second);
        self.front.replace(new, certificates);
        world.watch();
        self.shared.world.store(world);
        Ok(())
    }
}
