"""What the demo tells of the history that is on its way."""

from ingestion.pipeline.coverage import Span, SymbolCoverage
from streamloom.demo.progress import HistoryProgress


def _waits_for(count: int) -> SymbolCoverage:
    gaps = (Span(1, count, 0, 1, 0, "backfill"),) if count else ()
    return SymbolCoverage(gaps=gaps)


def _progress() -> HistoryProgress:
    return HistoryProgress(lambda line: None)


def test_a_few_symbols_are_named_one_by_one():
    progress = _progress()
    progress.line({"BTCUSDT": _waits_for(1000), "ETHUSDT": _waits_for(10)})

    line = progress.line({"BTCUSDT": _waits_for(250), "ETHUSDT": _waits_for(0)})

    assert line == "history: BTCUSDT 75 % of 1,000 trades, ETHUSDT 100 % of 10 trades"


def test_many_symbols_are_one_figure():
    progress = _progress()
    names = [f"COIN{number}USDT" for number in range(200)]
    progress.line(dict.fromkeys(names, _waits_for(100)))

    line = progress.line(dict.fromkeys(names, _waits_for(25)))

    assert line == "history: 200 symbols 75 % of 20,000 trades"


def test_nothing_is_told_before_history_was_asked_for():
    assert _progress().line({"BTCUSDT": SymbolCoverage()}) == ""
