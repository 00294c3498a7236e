"""The shapes of the answers, for the schema alone: what is sent is made in ``analytics.reading``."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse

from analytics.api.problems import CONTENT_TYPE

Schema = dict[str, Any]

TIME: Schema = {"type": "integer", "format": "int64", "description": "Epoch milliseconds."}
ID: Schema = {"type": "integer", "format": "int64"}
COUNT: Schema = {"type": "integer", "format": "int64", "minimum": 0}
AMOUNT: Schema = {"type": "string", "description": "Exact, with eight decimals.", "example": "42000.50000000"}
RATIO: Schema = {"type": "number", "format": "double"}
TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}


def or_null(schema: Schema) -> Schema:
    return {**schema, "nullable": True}


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def record(**members: Schema) -> Schema:
    """An object whose members are always there."""
    return {"type": "object", "properties": members, "required": list(members)}


def many(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def with_(schema: Schema, **members: Schema) -> Schema:
    """The object with more members; for names that Python keeps for itself."""
    return record(**{**schema["properties"], **members})


CURSOR: Schema = {"type": "string", "maxLength": 200, "description": "Opaque and URL-safe."}
STALE: Schema = or_null({**RATIO, "description": "Seconds, by the machine's clock, since feed_time moved."})

GAP = record(
    from_id=ID,
    to_id=ID,
    count=COUNT,
    from_time=TIME,
    to_time=TIME,
    opened_at=TIME,
    closed_at=or_null(TIME),
    asked_at=or_null(TIME),
    state=one_of("open", "repairing", "repaired", "hole"),
    proved=TRUTH,
    cause=TEXT,
)
BLOCK = with_(
    record(complete=TRUTH),
    **{"from": TIME},
    to=TIME,
    held=COUNT,
    missing=COUNT,
    holes=COUNT,
    gaps=many(GAP),
    feed_time=or_null(TIME),
    stale_s=STALE,
)
CANDLE = record(
    open_time=TIME,
    close_time=TIME,
    open=AMOUNT,
    high=AMOUNT,
    low=AMOUNT,
    close=AMOUNT,
    volume=AMOUNT,
    quote_volume=AMOUNT,
    trades=COUNT,
    taker_buy_volume=AMOUNT,
    taker_buy_quote_volume=AMOUNT,
    vwap=or_null(AMOUNT),
    volatility=RATIO,
    first_trade_id=or_null(ID),
    last_trade_id=or_null(ID),
    first_fill_id=or_null(ID),
    last_fill_id=or_null(ID),
    agg_trades=or_null(COUNT),
    missing=or_null(COUNT),
    revision=or_null(COUNT),
    state=one_of("forming", "partial", "closed", "certified", "disputed", "exchange"),
    quote_rounding=or_null(AMOUNT),
    known_at=or_null(TIME),
)
CANDLES = record(
    symbol=TEXT,
    interval=TEXT,
    candles=many(CANDLE),
    coverage=BLOCK,
    next=or_null(CURSOR),
    cursor=CURSOR,
)
# Only where as_of was asked for: the time that the answer speaks of.
CANDLES["properties"]["as_of"] = TIME
REVISIONS = record(
    symbol=TEXT,
    interval=TEXT,
    open_time=TIME,
    revisions=many(with_(CANDLE, reason=one_of("closed", "late", "backfill", "verdict", "restated"))),
    coverage=BLOCK,
    next=or_null(CURSOR),
    cursor=CURSOR,
)
TRADE = record(
    trade_id=ID,
    price=AMOUNT,
    qty=AMOUNT,
    notional={"type": "string", "description": "price x qty, exact: eight decimals, or as many more as it has."},
    side={**one_of("buy", "sell"), "description": "The taker's."},
    is_buyer_maker=TRUTH,
    trade_time=TIME,
    event_time=or_null(TIME),
    ingest_ts=TIME,
    latency_ms=or_null(ID),
    first_id=ID,
    last_id=ID,
    session=one_of("asia", "europe", "america"),
    source=TEXT,
)
TRADES = record(symbol=TEXT, trades=many(TRADE), coverage=BLOCK, next=or_null(CURSOR), cursor=CURSOR)
SEGMENT = record(from_id=or_null(ID), to_id=or_null(ID), from_time=TIME, to_time=or_null(TIME))
COVERAGE = with_(
    record(symbol=TEXT),
    **{"from": TIME},
    to=TIME,
    first_trade_id=or_null(ID),
    last_trade_id=or_null(ID),
    first_time=or_null(TIME),
    last_time=or_null(TIME),
    held=COUNT,
    missing=COUNT,
    holes=COUNT,
    complete=TRUTH,
    segments=many(SEGMENT),
    gaps=many(GAP),
    halts=many(record(from_time=TIME, to_time=TIME)),
    halts_known=or_null(record(from_time=TIME, to_time=TIME)),
    feed_time=or_null(TIME),
    stale_s=STALE,
    next=or_null(CURSOR),
)
SYMBOLS = record(
    symbols=many(
        record(
            symbol=TEXT,
            base=TEXT,
            quote=TEXT,
            status=TEXT,
            enabled=TRUTH,
            tick_size=AMOUNT,
            step_size=AMOUNT,
            last_price=or_null(AMOUNT),
            last_trade_time=or_null(TIME),
            complete=TRUTH,
        )
    )
)
_WINDOW = with_(record(symbol=TEXT, window=TEXT), **{"from": TIME}, to=TIME)
VOLUME = with_(
    _WINDOW,
    volume=AMOUNT,
    quote_volume=AMOUNT,
    trades=COUNT,
    taker_buy_volume=AMOUNT,
    taker_buy_quote_volume=AMOUNT,
    vwap=or_null(AMOUNT),
    coverage=BLOCK,
)
VOLATILITY = with_(_WINDOW, volatility=RATIO, annualized_volatility=RATIO, coverage=BLOCK)
SPIKES = with_(
    _WINDOW,
    interval=TEXT,
    threshold=RATIO,
    spikes=many(
        record(
            open_time=TIME,
            close_time=TIME,
            previous_close=AMOUNT,
            close=AMOUNT,
            change=RATIO,
            direction=one_of("up", "down"),
            volume=AMOUNT,
            state=TEXT,
        )
    ),
    coverage=BLOCK,
)
INDICATORS = record(
    symbol=TEXT,
    interval=TEXT,
    warm_up={**COUNT, "description": "Bars before a row that its values were computed with."},
    indicators=many(
        record(
            open_time=TIME,
            values={
                "type": "object",
                "additionalProperties": or_null(RATIO),
                "description": "By name; null where there are too few bars. anchor: where sums began (epoch ms).",
            },
        )
    ),
    coverage=BLOCK,
    next=or_null(CURSOR),
    cursor=CURSOR,
)
PROBLEM = {
    "type": "object",
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "code": TEXT,
        "param": TEXT,
        "allowed": {"oneOf": [TEXT, many({})]},
    },
    "required": ["type", "title", "status", "detail", "code"],
}


def answers(schema: Schema) -> dict[Any, Any]:
    """The answer of an endpoint, and the problems that it may answer instead."""
    problems = {
        400: "A parameter is missing, unknown or not allowed.",
        404: "The symbol is unknown.",
        503: "A store does not answer; Retry-After says when to try again.",
    }
    return {
        (200, "application/json"): OpenApiResponse(response=schema),
        **{
            (status, CONTENT_TYPE): OpenApiResponse(response=PROBLEM, description=text)
            for status, text in problems.items()
        },
    }
