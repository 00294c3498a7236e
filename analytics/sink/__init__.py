"""From the log to ClickHouse. Read the modules in this order:

rows      decoded records -> Arrow columns (pure)
tables    which topic goes to which tables, and which buckets it makes dirty (pure)
positions leases and places, by compare-and-set in the database
load      one turn of a partition: lease, read, insert, advance
tasks     the Celery task around it
dispatch  the role that wakes the tasks
"""
