"""A simulated exchange: Binance Spot's wire protocol over made-up trades or recorded ones.

Read the modules in this order:

rows         one trade as this exchange keeps it, and its fills
bars         trades -> a kline's figures, exactly
book         one symbol's market: rows by place, time and id; bars of any span
made_up      a market that is a pure function of seed and time (shapes, listings: its parts)
recorded     a market out of files (recordings reads them)
calendar     stream names, and when a kline frame is due
frames       the stream's JSON
faults       what the exchange does wrong on request
pace, pump   the feed's clock, and the loop that moves the streams along it
talk         a connection's control messages (pure); sockets carries them
rest         the REST answers (parameters, weights: their gatekeepers)
archive      the public archive's files, made from the books
server       all of it as one ASGI app on one port; wire makes many frames cheap to send

It is its own implementation on purpose: it shares no parsing and no folding with the pipeline that
it tests, only the words of ``markets.types``.
"""
