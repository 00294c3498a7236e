"""Candles that change after they closed. Read the modules in this order:

dirty    which buckets wait, and how a worker claims them
store    what is known of a range of minutes: trades, versions, klines, coverage
verdict of a bucket is ``judge``: pure, from what is known to a record, or to a reason to wait
rebuild  claims dirty minutes, reads, judges, and appends what is new to the log
rollup   claims dirty hours and days and merges them from their minutes
tasks    the Celery tasks around both
"""
