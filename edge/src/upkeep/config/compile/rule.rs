//! `[[site.rule]]`.

use selvedge_cache::policy::rules::{Lifetimes, Rule};

use crate::upkeep::config::model::TtlOptions;
use crate::upkeep::config::options as o;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::reader::{Reader, text};
use crate::upkeep::config::value::{path_glob, show_statuses, statuses, type_glob};

/// Rules of one site: each response is compared with all until one fits.
const RULES_MAX: usize = 256;

/// The rules of a site, in their order.
pub(super) fn rules(site: &mut Reader<'_>, ttl: &TtlOptions) -> Vec<Rule> {
    let count = site.inner_count();
    if count > RULES_MAX {
        let wrong = Wrong::new(format!("more than {RULES_MAX} rules"), "join some with `*`");
        site.problems.add(site.place(), wrong);
        return Vec::new();
    }
    (0..count).map(|at| rule(&mut site.inner(at), ttl)).collect()
}

fn rule(reader: &mut Reader<'_>, ttl: &TtlOptions) -> Rule {
    let paths = reader.list(&o::RULE_PATH, |s| path_glob(text(s, "/img/*")?), |g| g.0.clone());
    let statuses =
        reader.list(&o::RULE_STATUS, |s| statuses(text(s, "404")?), |s| show_statuses(*s));
    let types = reader.list(&o::RULE_TYPE, |s| type_glob(text(s, "image/*")?), |g| g.0.clone());
    let set = Lifetimes {
        default_s: reader.lifetime_s(&o::RULE_DEFAULT),
        min_s: reader.lifetime_s(&o::RULE_MIN),
        max_s: reader.lifetime_s(&o::RULE_MAX),
        override_s: reader.lifetime_s(&o::RULE_OVERRIDE),
        grace_s: reader.lifetime_s(&o::RULE_GRACE),
    };
    if set == Lifetimes::default() {
        let place = reader.place();
        let help = "write default, min, max, override or grace";
        reader.problems.add(place, Wrong::new("a rule that sets nothing", help));
    }
    check_bounds(reader, &set, ttl);
    Rule { paths: values(paths), statuses: values(statuses), types: values(types), set }
}

fn check_bounds(reader: &mut Reader<'_>, set: &Lifetimes, ttl: &TtlOptions) {
    if let (Some(min), Some(max)) = (set.min_s, set.max_s)
        && min > max
    {
        let (place, also) = (reader.place_of(&o::RULE_MIN), reader.place_of(&o::RULE_MAX));
        let wrong = Wrong::new("`min` is above `max`", "write a `min` of at most `max`");
        reader.problems.add_pair(place, wrong, also, "`max` stands here");
    }
    if let (Some(min), Some(max), None) = (ttl.min_s, set.max_s, set.min_s)
        && min > max
    {
        let place = reader.place_of(&o::RULE_MAX);
        let wrong = Wrong::new("`max` is below `site.ttl.min`", "write a `min` beside it");
        reader.problems.add(place, wrong);
    }
}

fn values<T, P>(placed: Vec<(T, P)>) -> Vec<T> {
    placed.into_iter().map(|(value, _)| value).collect()
}
