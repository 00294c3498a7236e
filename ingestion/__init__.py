"""From the exchange to the log: the feed, the repair, the pure pipeline and the processor."""
