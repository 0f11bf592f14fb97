//! Whatever is said: an answer, never a panic; and what is shown can be read again.

use proptest::prelude::*;

use super::{SITE, read, surroundings};
use crate::origin::OriginAddress;
use crate::upkeep::config::unit::{parse_ms, parse_size, show_ms, show_size};
use crate::upkeep::config::value::{HostPattern, parse_address, parse_peer};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}|[\\[\\]a-z.=\"'{}, \n\t0-9]{0,120}") {
        let world = surroundings_once();
        let _ = read(&text, world);
        let _ = read(&format!("{SITE}{text}"), world);
    }

    #[test]
    fn any_value_of_any_option_is_read_or_refused(
        at in 0..crate::upkeep::config::options::ALL.len(),
        value in "\"\\PC{0,12}\"|-?[0-9]{1,25}|true|\\[\\]|\\[\"[a-z:/*.0-9]{0,12}\"\\]|\\{ keep = \\[\"[a-z*&]{0,4}\"\\] \\}|1979-05-27|1e9",
    ) {
        let card = crate::upkeep::config::options::ALL[at];
        let table = card.table();
        let heading = match table.strip_prefix("site[]") {
            Some("") => String::new(),
            Some(inner) => format!("[site{inner}]\n"),
            None => format!("{}\n", crate::upkeep::config::file::brackets(table)),
        };
        let _ = read(&format!("{SITE}{heading}{} = {value}\n", card.key()), surroundings_once());
    }

    #[test]
    fn what_is_shown_reads_the_same(text in "[a-zA-Z0-9.:/*\\[\\]_-]{0,24}", number in any::<u64>()) {
        if let Ok(address) = parse_address(&text) {
            prop_assert_eq!(parse_address(&address.to_string()).ok(), Some(address));
        }
        if let Ok(host) = HostPattern::parse(&text) {
            prop_assert_eq!(HostPattern::parse(&host.to_string()).ok(), Some(host));
        }
        for text in [text.clone(), format!("http://{text}"), format!("https://{text}"), format!("unix:/{text}")] {
            if let Ok(origin) = text.parse::<OriginAddress>() {
                prop_assert_eq!(origin.to_string().parse().ok(), Some(origin));
            }
        }
        if let Ok(peer) = parse_peer(&text) {
            prop_assert_eq!(parse_peer(&peer.to_string()).ok(), Some(peer));
        }
        prop_assert_eq!(parse_size(&show_size(number)).ok(), Some(number));
        prop_assert_eq!(parse_ms(&show_ms(number)).ok(), Some(number));
    }
}

/// Certificates take time to make: one set for all cases.
fn surroundings_once() -> &'static crate::upkeep::config::surroundings::Scripted {
    static WORLD: std::sync::OnceLock<crate::upkeep::config::surroundings::Scripted> =
        std::sync::OnceLock::new();
    WORLD.get_or_init(surroundings)
}
