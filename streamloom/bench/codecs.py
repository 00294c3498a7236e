"""Records to bytes and back, and the way from a frame to a record."""

from collections.abc import Iterator, Sequence

from ingestion.log import codec
from ingestion.log.port import Record
from ingestion.pipeline.parse import parse_stream
from ingestion.pipeline.records import Trade
from streamloom.bench import naive, views
from streamloom.bench.contest import Case, Contestant
from streamloom.bench.material import Material


def cases(material: Material) -> Iterator[Case]:
    values, trades = material.records, material.trades
    dicts = [naive.decode(value) for value in values]
    yield Case(
        "codec: decode",
        len(values),
        "trade",
        Contestant(lambda _: [naive.decode(value) for value in values], lambda _, made: _views(made)),
        Contestant(lambda _: [codec.raw(value) for value in values], lambda _, made: [views.of_trade(t) for t in made]),
    )
    yield Case(
        "codec: encode",
        len(values),
        "trade",
        Contestant(lambda _: [naive.encode(fields) for fields in dicts], lambda _, made: _reread(made)),
        Contestant(lambda _: [codec.encode_trade(trade) for trade in trades], lambda _, made: _reread(made)),
    )


def ingest(material: Material) -> Iterator[Case]:
    """A frame of the stream becomes a record of the log."""
    frames = material.frames
    yield Case(
        "ingest: frame to record",
        len(frames),
        "frame",
        Contestant(lambda _: _naive_records(frames), lambda _, made: _reread([record.value for record in made])),
        Contestant(lambda _: _fast_records(frames), lambda _, made: _reread([record.value for record in made])),
    )


def _naive_records(frames: Sequence[bytes]) -> list[Record]:
    records = []
    for frame in frames:
        trade = naive.parse_frame(frame, 0)
        records.append(Record(trade["symbol"], naive.encode(trade)))
    return records


def _fast_records(frames: Sequence[bytes]) -> list[Record]:
    records = []
    for frame in frames:
        trade = parse_stream(frame, 0, "simulated")
        if isinstance(trade, Trade):
            records.append(codec.to_record(trade))
    return records


def _reread(values: Sequence[bytes]) -> list[tuple]:
    return _views([naive.decode(value) for value in values])


def _views(trades: Sequence[naive.Trade]) -> list[tuple]:
    return [views.of_naive_trade(trade) for trade in trades]
