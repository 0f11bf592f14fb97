use super::*;
use crate::journal::CacheOutcome;
use selvedge_cache::invalidate::Mode;
use selvedge_cache::store::ErrorKind;

struct Node(Budget, Arc<Repairs>);

impl Gauges for Node {
    fn tier(&self, tier: Tier) -> Option<TierStats> {
        let errors = [1; ErrorKind::ALL.len()];
        (tier == Tier::Memory).then_some(TierStats { bytes: 7, entries: 2, evictions: 5, errors })
    }
    fn disk_health(&self) -> Health {
        Health::Bypassed
    }
    fn fills_in_flight(&self) -> u64 {
        3
    }
    fn repairs(&self) -> &Repairs {
        &self.1
    }
    fn budget(&self) -> &Budget {
        &self.0
    }
    fn refreshes(&self, each: &mut dyn FnMut(&str, u64, u64)) {
        each("shop", 5, 6);
    }
    fn invalidations(&self) -> (u64, u64) {
        (2, 3)
    }
    fn tags_overflowed(&self) -> u64 {
        4
    }
    fn ledger(&self) -> LedgerStatus {
        LedgerStatus {
            ledger: selvedge_cache::invalidate::LedgerId(1),
            position: selvedge_cache::invalidate::Position(42),
            floor: selvedge_cache::invalidate::Position(17),
            bytes: 64,
            commits: 1,
            failures: 1,
            scopes: 1,
            is_healthy: false,
            is_durable: true,
        }
    }
    fn origins(&self, each: &mut dyn FnMut(&str, &str, bool)) {
        each("shop", "http://10.0.0.1:8000", true);
        each("shop", "http://10.0.0.2:8000", false);
    }
}

fn with_everything() -> Arc<Metrics> {
    let metrics = Metrics::new(2);
    let budget = Budget::new(1 << 20);
    metrics.attach(Arc::new(Node(budget.clone(), Repairs::new(budget))));
    let brief = Duration::from_millis(1);
    metrics.site("shop").record(CacheOutcome::Hit, 10, Some(brief), brief);
    metrics.origin("shop", "http://10.0.0.1:8000").record(crate::origin::OriginOutcome::Ok);
    metrics.purges().applied(selvedge_purge_api::SelectorKind::Tag, Mode::Soft, brief);
    metrics.error(Cause::OriginRefused);
    metrics
}

#[test]
fn every_row_of_the_table_is_on_the_page_once_with_its_help_and_type() {
    let page = with_everything().render();
    for row in TABLE {
        let head = format!("# TYPE {} {}\n", row.name, row.kind.name());
        assert_eq!(page.matches(&head).count(), 1, "{head}{page}");
        assert!(page.contains(&format!("# HELP {} {}\n", row.name, row.meaning)), "{}", row.name);
    }
}

#[test]
fn the_names_of_the_contract_carry_their_labels_and_values() {
    let page = with_everything().render();
    for line in [
        "selvedge_requests_total{site=\"shop\",cache=\"hit\"} 1",
        "selvedge_requests_total{site=\"-\",cache=\"error\"} 0",
        "selvedge_response_bytes_total{site=\"shop\",cache=\"hit\"} 10",
        "selvedge_request_ttfb_seconds_count{site=\"shop\",cache=\"hit\"} 1",
        "selvedge_request_duration_seconds_bucket{site=\"shop\",cache=\"hit\",le=\"0.001\"} 1",
        "selvedge_hit_ratio{site=\"shop\"} 1",
        "selvedge_hit_ratio{site=\"-\"} NaN",
        "selvedge_byte_hit_ratio{site=\"shop\"} 1",
        "selvedge_origin_requests_total{site=\"shop\",origin=\"http://10.0.0.1:8000\",outcome=\"ok\"} 1",
        "selvedge_origin_healthy{site=\"shop\",origin=\"http://10.0.0.2:8000\"} 0",
        "selvedge_store_bytes{tier=\"memory\"} 7",
        "selvedge_store_evictions_total{tier=\"memory\"} 5",
        "selvedge_store_errors_total{tier=\"memory\",kind=\"queue_full\"} 1",
        "selvedge_store_healthy{tier=\"disk\"} 0",
        "selvedge_fills_in_flight 3",
        "selvedge_purges_total{selector=\"tag\",mode=\"soft\"} 1",
        "selvedge_purge_position 42",
        "selvedge_purge_apply_seconds_count 1",
        "selvedge_memory_bytes{part=\"windows\"} 0",
        "selvedge_errors_total{cause=\"origin_refused\"} 1",
    ] {
        assert!(page.lines().any(|has| has == line), "{line} is not in\n{page}");
    }
}

/// The rules of the text format that a scraper relies on: families in one piece, each series
/// once, every value a number.
#[test]
fn the_page_is_well_formed() {
    let page = with_everything().render();
    let (mut families, mut series) =
        (std::collections::HashSet::new(), std::collections::HashSet::new());
    let mut family = "";
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().expect("a type line has a name");
            assert!(families.insert(family), "{family} stands in two places");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(name.starts_with(family), "{line} stands in {family}");
            assert!(series.insert(name), "{name} stands twice");
        }
    }
    assert_eq!(families.len(), TABLE.len());
}

#[test]
fn counters_move_on_from_one_scrape_to_the_next() {
    let metrics = with_everything();
    metrics.render();
    let brief = Duration::from_millis(1);
    metrics.site("shop").record(CacheOutcome::Hit, 10, None, brief);
    assert!(metrics.render().contains("selvedge_requests_total{site=\"shop\",cache=\"hit\"} 2\n"));
}

#[test]
fn a_site_keeps_its_numbers_and_its_index_across_reloads() {
    let metrics = Metrics::new(1);
    assert_eq!(metrics.site(NO_SITE).index(), SiteIndex(0));
    let shop = metrics.site("shop");
    let blog = metrics.site("blog");
    assert!(Arc::ptr_eq(&shop, &metrics.site("shop")));
    assert_ne!(shop.index(), blog.index());
    assert!(Arc::ptr_eq(metrics.site_at(blog.index()), &blog));
    assert_eq!(&**metrics.site_at(SiteIndex(9999)).name(), NO_SITE);
    assert_eq!(&**metrics.site_at(SiteIndex(500)).name(), NO_SITE);
}

#[test]
fn names_past_the_bound_are_counted_as_other() {
    let metrics = Metrics::new(1);
    for site in 0..2000 {
        metrics.site(&format!("site-{site}"));
    }
    assert_eq!(metrics.sites().count(), SITES_MAX);
    assert_eq!(&**metrics.site("one more").name(), OTHER);
    assert_eq!(&**metrics.site("site-7").name(), "site-7");
    assert!(metrics.refused.get() > 900);
    let places: std::collections::HashSet<_> = metrics.sites().map(|site| site.index()).collect();
    assert_eq!(places.len(), SITES_MAX);

    for origin in 0..ORIGINS_MAX + 10 {
        metrics.origin("shop", &format!("http://origin-{origin}"));
    }
    assert!(metrics.origins.lock().len() <= ORIGINS_MAX + 1);
}

#[test]
fn a_site_that_is_called_other_shares_the_last_place() {
    let metrics = Metrics::new(1);
    metrics.site(OTHER);
    assert_eq!(metrics.site("shop").index(), SiteIndex(1));
    assert_eq!(metrics.site("blog").index(), SiteIndex(2));
}

#[test]
fn the_exporter_is_drained_without_a_scrape() {
    let metrics = Metrics::new(1);
    let key = Key::from_name("a_filter_seconds");
    let about = Metadata::new("filter", Level::INFO, None);
    metrics.recorder.register_histogram(&key, &about).record(0.2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without I/O needs nothing of the system");
    runtime.block_on(async {
        let first_tick = tokio::time::timeout(Duration::ZERO, upkeep(Arc::clone(&metrics)));
        assert!(first_tick.await.is_err(), "upkeep runs for ever");
    });
    assert!(metrics.render().contains("a_filter_seconds_bucket{le=\"0.25\"} 1\n"));
}
