"""From the log to answers: the sink, ClickHouse, roll-ups, REST and WebSocket."""
