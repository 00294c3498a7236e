"""Every role as its own process under one supervisor: ``make run``.

plan      which processes there are (pure)
run       start, log, start again, end
"""
