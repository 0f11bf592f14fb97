//! What the whole program does, seen from outside: a file per subject, the most basic first.

mod admin;
mod command_line;
mod demo;
mod filters;
mod http1;
mod http2;
mod limits;
mod origins;
mod proxies;
mod reload;
mod telemetry;
mod tls;

// Real parts beside the node, from their packages.
mod broken;
mod collapse;
mod disk;
mod freshness;
mod invalidation;
mod large;
mod memory;
mod parts_browser;
mod parts_curl;
mod parts_nginx;
mod parts_prometheus;
mod purge_races;
mod purge_requests;
mod purges;
mod ranges;
mod restarts;
mod stale;
mod storing;
mod validation;
mod variants;
