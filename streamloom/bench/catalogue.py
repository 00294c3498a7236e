"""What can be measured, by the name that the command takes."""

from collections.abc import Callable, Iterator
from typing import Final

from streamloom.bench import candles, codecs, core, fanout, logs, processor, sink
from streamloom.bench.contest import Case
from streamloom.bench.material import Material

PATHS: Final[dict[str, Callable[[Material], Iterator[Case]]]] = {
    "core": core.cases,
    "codec": codecs.cases,
    "ingest": codecs.ingest,
    "process": processor.cases,
    "log": logs.cases,
    "sink": sink.cases,
    "candles": candles.cases,
    "fanout": fanout.cases,
    "dedup": core.memory,
}
# These are measured on recorded trades as well, when there are any.
ON_RECORDED: Final = ("core", "dedup")
