"""The role ``ingest_trades``: from the exchange's streams to ``raw_trades``. Read the modules in this order:

intake     one connection's frames: what goes on, what waits, what is turned away
starts     what a symbol needs before its first trade, and its history
newest     what a connection needs before its first kline frame
exchange   the REST questions of these, and the bound on the feed's time
writer     batches into the log, with back-pressure
covered    what an earlier run has started
role       all of it as a role: watch list in, pulse out
"""
