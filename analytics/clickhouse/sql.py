"""The questions that are asked of ClickHouse: one file each in ``queries/``, with typed parameters."""

from functools import cache
from pathlib import Path

_QUERIES = Path(__file__).parent / "queries"


@cache
def sql(name: str) -> str:
    """The text of ``queries/<name>.sql``; FileNotFoundError when there is none."""
    return (_QUERIES / f"{name}.sql").read_text(encoding="utf-8")
