//! One origin response becoming a stored response, with many readers behind it.
