//! Around the traffic: configuration, command line, admin plane, signals, threads, the demo.
//!
//! Knows the parts it starts and stops; no request walks through here.

pub mod admin;
pub mod admin_client;
pub mod cli;
pub mod config;
pub mod demo;
pub mod explain_command;
pub mod purge_command;
pub mod runtime;
pub mod signals;
