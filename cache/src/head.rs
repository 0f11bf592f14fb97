//! A stored head as one exactly sized encoded block.
