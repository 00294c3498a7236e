-- rank holds the time of the report below its source's rank: of two reports of one source the later counts, in
-- whatever order they are inserted (a bucket that was reported too early is asked again). Rows from before rank lower.
ALTER TABLE klines MODIFY COLUMN rank UInt64 CODEC(Delta, ZSTD(1));
