"""Row after row, on one stage as long as it is sound."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from streamloom.faults.matrix import Row
from streamloom.faults.rounds import Result, run_row
from streamloom.faults.stage import raised
from streamloom.services.native import NAMES, NativeServices


def run_matrix(
    services: NativeServices, folder: Path, rows: Sequence[Row], seed: int, *, is_short: bool = False
) -> Iterator[Result]:
    """The result of each row. A row that found something, or that spoils its stage, is the last one on it."""
    with ExitStack() as held:
        stage = None
        for row in rows:
            # A row that failed half way may have left one down.
            services.start(*NAMES)
            if stage is None or row.spoils:
                held.close()
                stage = held.enter_context(raised(services, folder, seed, slots=2, is_short=is_short))
            result = run_row(stage, row, seed)
            yield result
            if result.findings or row.spoils:
                held.close()
                stage = None
