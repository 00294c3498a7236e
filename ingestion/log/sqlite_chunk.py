"""A batch of records of the sqlite log: columns as msgpack bytes, and the records they stand for."""

from collections.abc import Sequence
from functools import partial
from itertools import repeat

import msgspec

from ingestion.log.port import Record, Stored

Columns = tuple[list[str], list[bytes], list[int], list[int] | None]
_pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Columns).decode
# Stored(...) runs Python code for each record; this builds the same tuple in C at a third of the price.
_stored = partial(tuple.__new__, Stored)


class Chunk:
    """A batch of records of one partition: columns, turned into ``Stored`` once, when first read."""

    __slots__ = ("_columns", "_records", "base", "last", "timestamp")

    def __init__(self, base: int, last: int, timestamp: int, columns: Columns) -> None:
        self.base = base
        self.last = last
        self.timestamp = timestamp
        self._columns = columns
        self._records: list[Stored] | None = None

    @classmethod
    def of(cls, base: int, timestamp: int, records: Sequence[Record]) -> "Chunk":
        """The records with the offsets ``base``, ``base + 1`` and so on."""
        keys, values, schemas = (list(column) for column in zip(*records, strict=True))
        return cls(base, base + len(records) - 1, timestamp, (keys, values, schemas, None))

    @classmethod
    def kept(cls, records: Sequence[Stored]) -> "Chunk":
        """What compaction left over, with the offsets it had."""
        columns = ([r.key for r in records], [r.value for r in records], [r.schema for r in records])
        offsets = [record.offset for record in records]
        return cls(offsets[0], offsets[-1], records[-1].timestamp, (*columns, offsets))

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def data(self) -> bytes:
        return _pack(self._columns)

    def records(self, topic: str, partition: int) -> list[Stored]:
        """The records, oldest first. Shared: do not change the list."""
        if self._records is None:
            keys, values, schemas, offsets = self._columns
            numbers = range(self.base, self.last + 1) if offsets is None else offsets
            place = (repeat(topic), repeat(partition), numbers, repeat(self.timestamp))
            self._records = list(map(_stored, zip(*place, keys, values, schemas, strict=False)))
        return self._records
