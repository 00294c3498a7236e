"""The exchange's own candles: from its kline streams and its REST API to ``prices-<interval>``.

Read in this order: ``track`` (what is held of one symbol and interval, and what to ask next), ``disputes`` (minutes
that are asked for again), ``board`` (all of them: whose turn it is), ``frames`` (one connection's frames), ``streams``
(the connections), ``follow`` (what the log tells), ``progress`` (what a restart needs), ``surroundings`` (what
the role works with), ``role`` (the loop that does the I/O).
``track``, ``disputes`` and ``board`` are pure: time and chance are arguments.
"""
