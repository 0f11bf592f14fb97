//! What the whole program does, seen from outside: a file per subject, the most basic first.

// Real parts beside the node, from their packages.
mod parts_browser;
mod parts_curl;
mod parts_nginx;
mod parts_prometheus;
