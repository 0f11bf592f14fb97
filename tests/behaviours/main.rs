//! What the whole program does, seen from outside: a file per subject, the most basic first.

// The program: how it is started and told what to do.
mod command_line;
mod options;
mod reload;

// A request comes in.
mod filters;
mod http1;
mod http2;
mod limits;
mod proxies;
mod tls;

// What is stored, and who is given it.
mod freshness;
mod methods;
mod no_vary_search;
mod partial;
mod ranges;
mod regressions;
mod site_rules;
mod storing;
mod validation;
mod variants;

// The origin: one question for many clients, answers that are late, broken or missing.
mod balancing;
mod broken;
mod collapse;
mod large;
mod origins;
mod stale;

// Taking stored responses out again.
mod invalidation;
mod purge_durability;
mod purge_limits;
mod purge_races;
mod purge_ramp;
mod purge_requests;
mod purge_storm;
mod purges;

// Operating it.
mod admin;
mod disk;
mod explain;
mod kills;
mod memory;
mod memory_promise;
mod metrics;
mod repairs;
mod restarts;
mod telemetry;

// Real parts beside the node, from their packages.
mod parts_browser;
mod parts_curl;
mod parts_nginx;
mod parts_prometheus;
mod parts_schemathesis;
