"""The pure core. Plain data in, plain data out: no Django, no clock, no log, no network.

Read the modules in this order:

records    the vocabulary: trade, kline, candle, coverage event, ...
parse      a frame's or a REST row's bytes   -> Trade | Kline | Rejected
validate   Trade                             -> Reason | None
enrich     Trade                             -> what enriched_trades adds
coverage   ids                               -> segments, gaps, holes: what is held
window     trades                            -> candles; fold many, merge two
closing    when a minute can get no more     -> closed candles
verdict    candle and kline                  -> certified, disputed or nothing
digest     candles                           -> one text: equal when every field of every candle is
process    SymbolState and a raw record      -> SymbolState and outputs
"""
