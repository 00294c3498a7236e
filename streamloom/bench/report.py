"""Figures for people and for programs."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from rich.table import Table

from streamloom.bench.contest import Figures


def table(figures: Iterable[Figures]) -> Table:
    """The ratios first: they hold on other machines too."""
    shown = Table(title="naive / Streamloom (CPU time or memory per unit; above 1x: better)")
    for name, justify in (("path", "left"), ("best", "right"), ("median", "right"), ("naive", "right")):
        shown.add_column(name, justify=justify)
    for name in ("Streamloom", "a second and core"):
        shown.add_column(name, justify="right")
    for item in figures:
        sign = "" if item.is_steady else " ~"
        shown.add_row(
            item.name,
            f"[bold]{_times(item.ratio)}[/]",
            f"{_times(item.median_ratio)}{sign}",
            _amount(item, item.naive),
            f"{_amount(item, item.fast)} / {item.unit}",
            _rate(item),
        )
    return shown


def as_json(figures: Sequence[Figures], **about: Any) -> bytes:
    """One object: what was asked for, and a row for each case."""
    rows = [{**asdict(item), "steady": item.is_steady} for item in figures]
    return msgspec.json.format(msgspec.json.encode({**about, "figures": rows}), indent=2)


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.1f}x"


def _amount(item: Figures, value: float) -> str:
    if item.measures == "memory":
        return f"{value:,.3f} B"
    return f"{value / 1000:,.1f} ms" if value >= 1000 else f"{value:.2f} us"


def _rate(item: Figures) -> str:
    return "" if item.measures == "memory" else f"{1e6 / item.fast:,.0f}"
