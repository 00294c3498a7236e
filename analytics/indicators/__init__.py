"""Indicators of the exchange's candles, by TA-Lib. Read the modules in this order:

catalogue  which indicators there are, their names, and how many bars before it a value needs (pure)
compute    bars in, columns out (pure)
store      the reads and the write
update     one turn: which klines were stored, and every value that depends on them
tasks      the Celery task around it

A value depends on the bars before it only. Moving windows end after their period; exponential and Wilder's smoothing
never end, but fade: after the warm-up of the catalogue what came earlier changes nothing that matters. Sums without an
end (OBV, AD) begin anew with each day, month or year, and say where they began.
"""
