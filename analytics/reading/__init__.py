"""What the system knows, for REST and sockets alike. Read the modules in this order:

cursor     a place in an answer and in the log, as one opaque text
view       what the log says that the tables do not yet (pure)
tail       the thread that keeps the view
known      a candle with what is known of it; the one derivation of state, missing and close time (pure)
stored     the candles of the tables
minutes    stored candles and the log's together
as_of      the same, as it was known at an earlier time
candles    a page of candles of any interval
revisions  the history of one minute
seconds    the 1s candles, folded from trades
trades     a page of trades
coverage   what is held of a range
statistics sums, volatility and jumps over a window

Nothing here knows of HTTP.
"""
