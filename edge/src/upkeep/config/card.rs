//! The option card: everything there is to know about one option, said once.
//!
//! A card names where the option stands in the file (`site[].ttl.default`: `[]` is one of several
//! tables), what may be written, what holds when nothing is written, and when a change takes
//! effect. Parser, flags, variables, manual and schema read the card; nobody repeats it.

/// What may be written for an option, with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A path; relative to the configuration file.
    Path,
    /// A path of a PEM file; relative to the configuration file.
    Pem,
    /// `host:port`, `[::]:port` or `unix:/path`.
    Address,
    /// `off`, `stdout` or a path with a slash.
    AccessLog,
    /// `http://host:port`, `https://host` or `unix:/path`; or a table with that as `url`.
    OriginUrl,
    /// `host` or `host:port`, as a `Host` field carries it.
    Authority,
    /// `shop.example`, `*.shop.example` or `*`.
    HostPattern,
    /// An address, a network (`10.0.0.0/8`) or `unix` (peers on our Unix sockets).
    Peer,
    /// Identity of a site or token: letters, digits, `.`, `_`, `-`.
    Name,
    /// SHA-256 of a secret, in 64 hexadecimal digits.
    Sha256,
    /// Name of an environment variable.
    Variable,
    /// `purge`, `purge:SITE`, `read` or `operate`.
    Scope,
    /// An amount of bytes with its unit.
    Size {
        /// Least, in bytes.
        min: u64,
        /// Most, in bytes.
        max: u64,
    },
    /// A wait with its unit, kept in milliseconds.
    Wait {
        /// Least, in milliseconds.
        min_ms: u64,
        /// Most, in milliseconds.
        max_ms: u64,
    },
    /// A lifetime with its unit, kept in whole seconds (as HTTP counts them).
    Lifetime {
        /// Most, in seconds.
        max_s: u64,
    },
    /// A whole number.
    Count {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// `true` or `false`.
    Switch,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A path beginning with `/` or `*`, in which `*` stands for anything.
    PathGlob,
    /// `404` or `4xx`.
    Status,
    /// `text/html`, `image/*`.
    TypeGlob,
    /// Name of a field: letters, digits, `-` and the other characters of a token.
    FieldName,
    /// How a site folds the query into its key.
    Query,
    /// `key`, `client`, `header:NAME` or `cookie:NAME`.
    Affinity,
    /// The name of a cookie.
    Cookie,
    /// A path with or without a query, as a request names it.
    Target,
    /// `200` or `200-399`.
    Statuses,
    /// `Name: value`.
    Field,
    /// Any text that is not empty.
    Text,
}

impl Kind {
    /// The kind in a word or two, for messages and the manual.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Pem => "path of a PEM file",
            Self::Address => "address",
            Self::AccessLog => "\"off\", \"stdout\" or a path",
            Self::OriginUrl => "origin URL",
            Self::Authority => "host, with port if needed",
            Self::HostPattern => "host pattern",
            Self::Peer => "network",
            Self::Name => "name",
            Self::Sha256 => "SHA-256",
            Self::Variable => "name of a variable",
            Self::Scope => "scope",
            Self::Size { .. } => "size",
            Self::Wait { .. } | Self::Lifetime { .. } => "duration",
            Self::Count { .. } => "whole number",
            Self::Switch => "switch",
            Self::Choice(_) => "word",
            Self::PathGlob => "path, with `*` for anything",
            Self::Status => "status, or all as `4xx`",
            Self::TypeGlob => "type of content, with `*` for anything",
            Self::FieldName => "name of a field",
            Self::Query => "query rule",
            Self::Affinity => "\"key\", \"client\", \"header:NAME\" or \"cookie:NAME\"",
            Self::Cookie => "name of a cookie",
            Self::Target => "path of a request",
            Self::Statuses => "status or range of statuses",
            Self::Field => "field with its value",
            Self::Text => "text",
        }
    }

    /// Something right to write, quoted as in the file.
    pub const fn sample(self) -> &'static str {
        match self {
            Self::Path => "\"/var/lib/selvedge\"",
            Self::Pem => "\"file.pem\"",
            Self::Address => "\"127.0.0.1:8080\"",
            Self::AccessLog => "\"stdout\"",
            Self::OriginUrl => "\"http://10.0.0.1:8000\"",
            Self::Authority => "\"origin.example\"",
            Self::HostPattern => "\"shop.example\"",
            Self::Peer => "\"10.0.0.0/8\"",
            Self::Name => "\"shop\"",
            Self::Sha256 => "\"9f86d081…\" (64 hexadecimal digits)",
            Self::Variable => "\"SHOP_PURGE_TOKEN\"",
            Self::Scope => "\"purge\"",
            Self::Size { .. } => "\"64MiB\"",
            Self::Wait { .. } | Self::Lifetime { .. } => "\"30s\"",
            Self::Count { .. } => "100",
            Self::Switch => "true",
            Self::Choice(_) => "\"…\"",
            Self::PathGlob => "\"/img/*\"",
            Self::Status => "\"404\"",
            Self::TypeGlob => "\"image/*\"",
            Self::FieldName => "\"CDN-Cache-Control\"",
            Self::Query => "\"sort\"",
            Self::Affinity => "\"key\"",
            Self::Cookie => "\"session\"",
            Self::Target => "\"/healthz\"",
            Self::Statuses => "\"200-399\"",
            Self::Field => "\"X-Ready: yes\"",
            Self::Text => "\"ok\"",
        }
    }
}

/// What holds when nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It must be written.
    Required,
    /// Nothing; the text says what that means.
    Absent(&'static str),
    /// This, as it would be written in the file.
    Toml(&'static str),
    /// Worked out at start; the text says how.
    Computed(&'static str),
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Card {
    /// Where it stands: `node.listen`, `site[].ttl.default`.
    pub path: &'static str,
    /// What may be written.
    pub kind: Kind,
    /// A list of it.
    pub many: bool,
    /// What holds otherwise.
    pub fallback: Fallback,
    /// Meaning, in a sentence or two.
    pub text: &'static str,
    /// A reload applies it; otherwise a restart does.
    pub reloadable: bool,
    /// Flag of `serve`, without dashes.
    pub flag: Option<&'static str>,
}

impl Card {
    /// A required, reloadable, single option without a flag.
    pub const fn new(path: &'static str, kind: Kind) -> Self {
        let fallback = Fallback::Required;
        Self { path, kind, many: false, fallback, text: "", reloadable: true, flag: None }
    }

    /// May be given several times: a list.
    #[must_use]
    pub const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// Holds `toml` when nothing is written.
    #[must_use]
    pub const fn or(mut self, toml: &'static str) -> Self {
        self.fallback = Fallback::Toml(toml);
        self
    }

    /// Need not be written; `meaning` says what then happens.
    #[must_use]
    pub const fn or_absent(mut self, meaning: &'static str) -> Self {
        self.fallback = Fallback::Absent(meaning);
        self
    }

    /// Worked out at start when nothing is written.
    #[must_use]
    pub const fn or_computed(mut self, how: &'static str) -> Self {
        self.fallback = Fallback::Computed(how);
        self
    }

    /// Can be given as `--flag` to `serve`.
    #[must_use]
    pub const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// A change waits for a restart.
    #[must_use]
    pub const fn restart(mut self) -> Self {
        self.reloadable = false;
        self
    }

    /// Gives the card its meaning.
    #[must_use]
    pub const fn text(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    /// Something right to write, as a list if it is one.
    pub fn sample(&self) -> String {
        if self.many { format!("[{}]", self.kind.sample()) } else { self.kind.sample().to_owned() }
    }

    /// The key alone: `default` of `site[].ttl.default`.
    pub fn key(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, key)| key)
    }

    /// The table it stands in: `site[].ttl` of `site[].ttl.default`.
    pub fn table(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(table, _)| table)
    }

    /// The environment variable, if a variable can say it: `SELVEDGE_` and the flag, or table and
    /// key (`[node]` is left out). Options of one of several tables have none, unless a flag
    /// stands for them.
    pub fn variable(&self) -> Option<String> {
        let name = match self.flag {
            Some(flag) => flag.replace('-', "_"),
            None if self.path.contains("[]") => return None,
            None => self.path.strip_prefix("node.").unwrap_or(self.path).replace('.', "_"),
        };
        Some(format!("SELVEDGE_{}", name.to_ascii_uppercase()))
    }

    /// Type and bounds in words: `size, 16MiB to 1TiB`.
    pub fn kind_in_words(&self) -> String {
        use super::unit::{show_ms, show_size};
        let one = match self.kind {
            Kind::Size { min, max } => format!("size, {} to {}", show_size(min), show_size(max)),
            Kind::Wait { min_ms, max_ms } => {
                format!("duration, {} to {}", show_ms(min_ms), show_ms(max_ms))
            }
            Kind::Lifetime { max_s } => {
                format!("duration in whole seconds, up to {}", show_ms(max_s.saturating_mul(1000)))
            }
            Kind::Count { min, max } => format!("whole number, {min} to {max}"),
            Kind::Switch => "`true` or `false`".to_owned(),
            Kind::Choice(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(" or ")
            }
            Kind::Query => {
                "\"keep\", \"sort\", \"drop\", { keep = […] } or { drop = […] }".to_owned()
            }
            Kind::OriginUrl => {
                "origin URL, or { url = …, weight = 1 to 100, tier = 0 to 9, tls_name = … }"
                    .to_owned()
            }
            other => other.name().to_owned(),
        };
        if self.many { format!("list of: {one}") } else { one }
    }
}
