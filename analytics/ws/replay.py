"""What a client has missed since its cursor: the log from there on, as the messages it would have been sent."""

from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import urlencode

from analytics.reading import cursor as cursors
from analytics.reading.cursor import Cursor, split_seq
from analytics.reading.known import FORMING
from analytics.reading.view import Tailed
from analytics.ws.feeds import CandleFeed, Feed, MinuteFeed, TradeFeed
from analytics.ws.hub import Hub, make_feed
from analytics.ws.messages import Channel, Code, Id, Message, Refused, Topic
from analytics.ws.second_feed import second_seq
from ingestion.log import codec, topics
from ingestion.log.port import RangeGone, Stored
from ingestion.pipeline.records import CandleReason, CandleRecord
from markets.types import MINUTE_MS, SECOND_MS, Interval

_CHUNK: Final = 2_000
_MOST_SECONDS: Final = 5_000


class TooOld(Exception):
    """The cursor lies before what the log still keeps, or too far back to replay."""


def topic_name(topic: Topic) -> str:
    """The topic of the log whose offsets are in the topic's cursors."""
    return topics.ENRICHED_TRADES.name if topic.channel == Channel.TRADES else topics.CANDLES_1M.name


def now_cursor(hub: Hub, topic: Topic) -> tuple[str | None, int]:
    """The cursor of a subscription that begins now, and its seq."""
    if topic.channel == Channel.ALERTS:
        return None, 0
    seq = hub.view.seq(topic_name(topic), topic.symbol)
    clock, live = hub.view.clock(topic.symbol), hub.view.live(topic.symbol)
    if topic.interval is not None:
        place = topic.interval.open_of(clock.closed_to) if clock is not None else 0
        return cursors.encode(Cursor(topic.symbol, cursors.CANDLES, topic.interval.value, place, seq)), seq
    last = live.last_trade_id if live is not None and live.last_trade_id is not None else -1
    return cursors.encode(Cursor(topic.symbol, cursors.TRADES, None, last + 1, seq)), seq


def read_cursor(text: str, topic: Topic, id_: Id) -> Cursor | Refused:
    """The cursor of this topic that a client sent as ``since``."""
    interval = None if topic.interval is None else topic.interval.value
    try:
        return cursors.decode(text, symbol=topic.symbol, channel=topic.channel.value, interval=interval)
    except cursors.BadCursor as error:
        return Refused(id_, Code.BAD_CURSOR, str(error))


def too_old(text: str, topic: Topic, id_: Id) -> Refused:
    """The refusal that says where the missing part can be fetched."""
    query = {"symbol": topic.symbol, "cursor": text}
    if topic.interval is not None:
        query["interval"] = topic.interval.value
    detail = "The log does not reach back to this cursor: fetch what is missing by REST, then use its cursor."
    return Refused(id_, Code.TOO_OLD, detail, rest=f"/{topic.channel.value}?{urlencode(query)}")


async def replay(hub: Hub, topic: Topic, since: Cursor, end: int) -> AsyncIterator[list[Message]]:
    """The messages from the cursor to ``end`` (a seq), some at a time. Raises TooOld before the first of them, or
    what the log or the tables raise."""
    epoch, start = split_seq(since.seq)
    end_epoch, end_offset = split_seq(end)
    if epoch != end_epoch or not 0 <= end_offset - start <= hub.limits.replay_records:
        raise TooOld
    feed = _fresh_feed(hub, topic, since)
    touched: list[CandleRecord] = []
    if start == end_offset:
        yield []
    for offset in range(start, end_offset, _CHUNK):
        batch = await _records(hub, topic, offset, min(offset + _CHUNK, end_offset))
        if isinstance(feed, (MinuteFeed, TradeFeed)):
            yield feed.take(batch)
        else:
            touched += [item.record for item in batch if isinstance(item.record, CandleRecord)]
    if isinstance(feed, CandleFeed) and not isinstance(feed, MinuteFeed):
        yield await _wider(hub, topic, since, end, touched)


def _fresh_feed(hub: Hub, topic: Topic, since: Cursor) -> Feed:
    feed = make_feed(topic, hub.view, hub.epoch)
    feed.start_at(since)
    return feed


async def _records(hub: Hub, topic: Topic, start: int, end: int) -> list[Tailed]:
    name = topic_name(topic)
    try:
        stored = await hub.read(lambda reads: reads.records(name, topic.symbol, start, end))
    except RangeGone as gone:
        raise TooOld from gone
    return [_tailed(item) for item in stored if item.key == topic.symbol]


def _tailed(stored: Stored) -> Tailed:
    is_trade = stored.topic == topics.ENRICHED_TRADES.name
    return Tailed(stored, codec.enriched(stored.value) if is_trade else codec.candle(stored.value))


async def _wider(hub: Hub, topic: Topic, since: Cursor, end: int, touched: list[CandleRecord]) -> list[Message]:
    """Every closed candle above 1m, or second, that has changed since: once, as it is now."""
    assert topic.interval is not None
    symbol, interval = topic.symbol, topic.interval
    if interval is Interval.S1:
        opens = list(_corrected_seconds(touched, since.place))
        views = await hub.read(lambda reads: reads.buckets(symbol, interval, opens)) if opens else []
        page = await hub.read(lambda reads: reads.since(symbol, since.place))
        if page.more or len(opens) > _MOST_SECONDS:
            raise TooOld
        views = [*views, *page.candles]
    else:
        # In the order of the log: by the record that touched the bucket last.
        order = dict.fromkeys(interval.open_of(r.candle.open_time) for r in reversed(touched))
        opens = list(order)[::-1]
        found = await hub.read(lambda reads: reads.buckets(symbol, interval, opens)) if opens else []
        by_open = {view.open_time: view for view in found}
        views = [by_open[open_time] for open_time in opens if open_time in by_open]
    feed = _fresh_feed(hub, topic, since)
    assert isinstance(feed, CandleFeed)
    closed = [view for view in views if view.state != FORMING]
    made: list[Message] = []
    for view in closed:
        # Only with the last of them the client has all that there is up to ``end``.
        feed.seq = end if view is closed[-1] else since.seq
        made.append(feed.message(view, second_seq(view.open_time) if interval is Interval.S1 else 0))
    return made


def _corrected_seconds(touched: Iterable[CandleRecord], place: int) -> list[int]:
    """The seconds before ``place`` whose minute was corrected."""
    corrected = {
        record.candle.open_time
        for record in touched
        if record.reason in (CandleReason.LATE, CandleReason.BACKFILL)
    }
    seconds = (second for minute in sorted(corrected) for second in range(minute, minute + MINUTE_MS, SECOND_MS))
    return [second for second in seconds if second < place]
