-- Klines of the exchange whose close time is not their open time + width - 1 (width_ms 0: the month).
SELECT toUnixTimestamp64Milli(open_time) AS bucket, toUnixTimestamp64Milli(close_time) AS close_ms
FROM klines FINAL
WHERE interval = {interval:String}
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
  AND closed = 1
  AND close_ms + 1 != if({width_ms:Int64} = 0,
                         toUnixTimestamp64Milli(addMonths(open_time, 1)),
                         bucket + {width_ms:Int64})
