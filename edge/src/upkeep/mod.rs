//! No request passes here: configuration, the admin plane, commands of the operator.

pub mod admin;
pub mod purge_command;
