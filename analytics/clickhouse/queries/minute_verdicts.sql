-- The newest verdict on each revision of the minutes of a span.
SELECT toUnixTimestamp64Milli(open_time) AS minute, toInt64(revision) AS compared, state, difference
FROM certifications
WHERE symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
