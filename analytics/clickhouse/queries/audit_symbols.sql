-- Every symbol of which trades were ever to be held.
SELECT DISTINCT symbol FROM coverage_events ORDER BY symbol
