"""Results as lines and as the table of ``docs/faults.md``."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from streamloom.faults.invariants import Kind
from streamloom.faults.rounds import Result

_DETAILS: Final = 3
_HEAD: Final = "| row | fault | must | trades | candles | lost | doubled | wrong | back after | repeat |"
_RULE: Final = "|---|---|---|---|---|---|---|---|---|---|"


def line(result: Result) -> str:
    """One line for the terminal, and what was found below it."""
    counts = " ".join(f"{kind.value}={result.count(kind)}" for kind in Kind)
    text = f"{result.row.label:>4} {result.row.name:<36} {result.verdict:<8} {counts} "
    text += f"trades={result.trades} candles={result.candles} back={_back(result)} took={result.took_s:.0f}s"
    for finding in result.findings[:_DETAILS]:
        text += f"\n       {finding.kind.value} {finding.count}: {finding.invariant}: {finding.detail[:400]}"
    return text


def _back(result: Result) -> str:
    return "-" if result.recovery_s is None else f"{result.recovery_s:.1f} s"


def write(path: Path, results: Iterable[Result]) -> None:
    """Put the rows into the page's tables; what ran before stays."""
    text = path.read_text()
    for result in results:
        name = "controls" if result.row.control else "rows"
        text = _with_row(text, name, result)
    path.write_text(text)


def _with_row(text: str, name: str, result: Result) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)
    found = pattern.search(text)
    if found is None:
        raise ValueError(f"the page has no place for {name}")
    kept = [row for row in found[2].splitlines()[2:] if not row.startswith(f"| {result.row.label} |")]
    rows = sorted([*kept, _table_row(result)], key=_order)
    body = "\n".join((_HEAD, _RULE, *rows)) + "\n"
    return text[: found.start(2)] + body + text[found.end(2) :]


def _order(row: str) -> tuple[int, str]:
    label = row.split("|")[1].strip()
    return int(re.sub(r"\D", "", label) or 0), label


def _table_row(result: Result) -> str:
    cells = [
        result.row.label,
        f"{result.row.name}: {result.row.fault}",
        result.row.expected,
        f"{result.trades:,}",
        f"{result.candles:,}",
        *(str(result.count(kind)) for kind in Kind),
        _back(result),
        f'`make faults ARGS="--rows {result.row.label} --seed {result.seed}"`',
    ]
    return "| " + " | ".join(cells) + " |"
