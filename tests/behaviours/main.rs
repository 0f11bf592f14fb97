//! What a user notices, against the real binary over sockets.

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
