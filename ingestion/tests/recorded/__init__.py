"""Facts of the exchange, each held by a test over data that others recorded from it."""
