"""Candles that change after they closed. Read the modules in this order:

dirty    which buckets wait, and how a worker claims them
judge    what is known of one minute -> a record to publish, or why there is none (pure)
store    the reads: trades, published versions, klines, coverage
rebuild  claims dirty minutes, reads, judges, and appends what is new to the log
rollup   claims dirty hours and days and merges them from their minutes
check    compares 15m, 1h and 1d with the exchange's own, and reports what differs
tasks    the Celery tasks around both
"""
