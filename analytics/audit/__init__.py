"""Is what is stored true? Read the modules in this order:

ids        ranges of ids, and the account of a day's: held + missing + holes = last - first + 1 (pure)
findings   the words of a result: checks, differences, a day (plain data)
minutes    stored minutes beside the fold of the stored trades, and beside the exchange's (pure)
larger     hours and days beside their minutes, and 15m, 1h, 1d beside the exchange's (pure)
standing   what counts as closed and stored now, and what still waits
reads      the questions to ClickHouse
day        one symbol and day: reads, then every check
walk       which symbols and days; what differs is looked at again before it is told
repair     what is asked for, so that a difference goes away
report     the table for people, JSON for machines
nightly    whole days by the feed's clock, kept in AuditRun
tasks      the Celery task around it
"""
