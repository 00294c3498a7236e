-- Every event of a gap carries the gap's name: the first id that was missing when it opened, and when that was.
ALTER TABLE coverage_events ADD COLUMN IF NOT EXISTS gap Nullable(Int64) CODEC(ZSTD(1));
ALTER TABLE coverage_events ADD COLUMN IF NOT EXISTS opened_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1));

-- One row per gap, for people: how many ids were missing, how many have come since, and what became of the rest.
CREATE VIEW IF NOT EXISTS gaps AS
SELECT
    symbol,
    first AS from_id,
    last AS to_id,
    last - first + 1 AS ids,
    came,
    multiIf(came >= ids, 'repaired', ids - came <= holes, 'hole', is_asked OR came > 0, 'repairing', 'open') AS state,
    state = 'hole' AND proved >= ids - came AS is_proved,
    cause,
    from_time,
    to_time,
    opened_at,
    asked_at,
    if(state = 'repaired', closed_at, NULL) AS closed_at
FROM
(
    SELECT
        symbol,
        gap,
        opened_at,
        minIf(assumeNotNull(from_id), kind IN ('gap_opened', 'tail_closed')) AS first,
        maxIf(assumeNotNull(to_id), kind IN ('gap_opened', 'tail_closed')) AS last,
        sumIf(assumeNotNull(to_id - from_id + 1), kind IN ('gap_closed', 'tail_closed')) AS came,
        sumIf(assumeNotNull(to_id - from_id + 1), kind = 'hole_proved') AS proved,
        -- A hole is told again when its times are known better: the ids of all of them together.
        arrayFold(
            (total, hole) -> (
                total.1 + greatest(0, hole.2 - greatest(total.2, hole.1 - 1)),
                greatest(total.2, hole.2)
            ),
            arraySort(groupArrayIf((assumeNotNull(from_id), assumeNotNull(to_id)), kind = 'hole')),
            (toInt64(0), toInt64(-1))
        ).1 AS holes,
        countIf(kind = 'gap_asked') > 0 AS is_asked,
        argMinIf(cause, seq, kind IN ('gap_opened', 'tail_closed')) AS cause,
        minIf(from_time, kind IN ('gap_opened', 'tail_closed')) AS from_time,
        maxIf(to_time, kind IN ('gap_opened', 'tail_closed')) AS to_time,
        maxOrNullIf(known_at, kind IN ('gap_asked', 'gap_closed', 'hole')) AS asked_at,
        maxIf(known_at, kind IN ('gap_closed', 'tail_closed')) AS closed_at
    FROM coverage_events FINAL
    WHERE gap IS NOT NULL
    GROUP BY symbol, gap, opened_at
);
