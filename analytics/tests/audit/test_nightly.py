"""Whole days are audited once, when the feed's clock says that they are over, and what differs is kept and told."""

import datetime as dt

import msgspec
import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from analytics.audit import nightly
from analytics.models import AuditRun, Dirty
from analytics.tests.audit.conftest import FIRST, TRADES, WANT, Pipeline, minute_klines
from analytics.tests.samples import BTC, HOUR, TEN, kline_of, put
from ingestion.pipeline.records import Cause, Lost, Want
from ingestion.pipeline.window import empty_candle
from markets.types import DAY_MS, MINUTE_MS, Interval

pytestmark = pytest.mark.django_db(transaction=True)

DAY = dt.date(2019, 6, 1)
MIDNIGHT = Interval.D1.open_of(TEN) + DAY_MS
HOUR_OF_TRADES = sum(one.trade_time < TEN + HOUR for one in TRADES)
replace = msgspec.structs.replace


def clock_at(time: int):
    """A frame that moves the clock and says nothing."""
    return kline_of(empty_candle(BTC, Interval.M1, time, 1), closed=False, event_time=time)


@pytest.fixture
def over(pipeline: Pipeline) -> Pipeline:
    """The day, and eleven minutes of the next."""
    return pipeline.take([WANT, *TRADES, clock_at(MIDNIGHT + 11 * MINUTE_MS)]).settle()


def look(pipeline: Pipeline, **more: float) -> bool:
    return nightly.audit_due(pipeline.stage.log, budget_s=more.get("budget_s", 60.0), look_again_s=())


def test_a_day_that_runs_or_has_just_ended_is_not_audited(pipeline) -> None:
    pipeline.take([WANT, *TRADES, clock_at(MIDNIGHT + 9 * MINUTE_MS)]).settle()

    assert look(pipeline) is False
    assert not AuditRun.objects.exists()


def test_a_day_that_is_over_is_audited_once_and_its_figures_are_kept(over) -> None:
    look(over)
    row = AuditRun.objects.get()
    first = row.finished_at
    look(over)

    assert (row.symbol, row.day, row.state) == (BTC, DAY, AuditRun.State.AGREES)
    assert (row.trades, row.candles, row.differences) == (len(TRADES), 14 * 60, 0)
    assert row.digest == next(day for day in over.days() if day.day == DAY.isoformat()).digest
    assert AuditRun.objects.get().finished_at == first


def test_what_differs_is_kept_told_and_counted_and_looked_at_again_when_it_is_repaired(over, tamper) -> None:
    tamper(f"ALTER TABLE candles UPDATE volume = volume + 1 WHERE interval = '1h' AND symbol = '{BTC}'")

    with capture_logs() as told:
        look(over)

    row = AuditRun.objects.get()
    assert (row.state, row.differences, row.found) == (AuditRun.State.DIFFERS, 14, {"roll_ups": 14})
    assert "what is kept merged is not what its minutes make" in row.details
    [line] = [one for one in told if one["event"] == "stored data differs"]
    assert f"--symbol {BTC} --day {DAY}" in line["hint"]
    assert REGISTRY.get_sample_value("streamloom_audit_differences", {"check": "roll_ups"}) == 14

    tamper(f"ALTER TABLE candles UPDATE volume = volume - 1 WHERE interval = '1h' AND symbol = '{BTC}'")
    look(over)
    assert AuditRun.objects.get().state == AuditRun.State.DIFFERS
    AuditRun.objects.update(finished_at=timezone.now() - dt.timedelta(hours=1))
    look(over)

    assert AuditRun.objects.get().state == AuditRun.State.AGREES
    assert REGISTRY.get_sample_value("streamloom_audit_differences", {"check": "roll_ups"}) == 0


def long_ago() -> None:
    """As if the audits that are over had been made an hour ago."""
    AuditRun.objects.update(finished_at=timezone.now() - dt.timedelta(hours=1))


def figures(day: dt.date = DAY) -> tuple[str, int, int]:
    row = AuditRun.objects.get(day=day)
    return row.state, row.trades, row.certified


def test_a_day_whose_trades_came_later_is_audited_again(pipeline) -> None:
    """A backfill lowers where the holdings begin, and brings the first hour of a day that agreed without it."""
    first_hour, rest = TRADES[:HOUR_OF_TRADES], TRADES[HOUR_OF_TRADES:]
    start = TEN + HOUR
    held = Want(BTC, rest[0].trade_id, start, Cause.START, start)
    pipeline.take([held, *rest, clock_at(MIDNIGHT + 11 * MINUTE_MS)]).settle()
    look(pipeline)
    assert figures() == (AuditRun.State.AGREES, len(rest), 0)

    older = Want(BTC, FIRST, TEN, Cause.ARCHIVE, MIDNIGHT + 11 * MINUTE_MS)
    pipeline.take([older, *first_hour]).settle()
    look(pipeline)
    assert figures()[1] == len(rest), "only just looked at: what comes next is waited for"
    long_ago()
    look(pipeline)

    assert figures() == (AuditRun.State.AGREES, len(TRADES), 0)


def test_trades_that_never_reach_the_candles_are_found_by_the_next_audit(over) -> None:
    """Coverage says that ids of the day came; that no candle followed is what the audit is for."""
    gap, *_ = lost = TRADES[30:33]
    over.take([Lost(BTC, gap.trade_id, lost[-1].trade_id, gap.trade_time, lost[-1].trade_time, MIDNIGHT)])
    over.settle()
    look(over)
    AuditRun.objects.update(state=AuditRun.State.AGREES)

    over.take([replace(one, qty=2 * one.qty) for one in lost]).sink()
    Dirty.objects.all().delete()
    long_ago()
    look(over)

    assert AuditRun.objects.get().state == AuditRun.State.DIFFERS


def test_a_day_of_any_age_whose_candles_changed_is_audited_again_and_only_then(over, monkeypatch) -> None:
    look(over)
    monkeypatch.setattr(nightly, "DAYS_BACK", 0)
    long_ago()
    before = AuditRun.objects.get().finished_at
    look(over)
    assert AuditRun.objects.get().finished_at == before, "nothing changed"

    # The exchange's own minutes come from the archive: verdicts change, trades do not.
    put(over.stage.log, *(replace(one, recheck=True, source="archive") for one in minute_klines()))
    over.settle()
    look(over)

    assert figures()[2] == len(minute_klines())


def test_what_changes_while_a_day_is_audited_is_audited_again(over, monkeypatch) -> None:
    audited = nightly.audit

    def meanwhile(*arguments, **more):
        yield from audited(*arguments, **more)
        put(over.stage.log, *(replace(one, recheck=True, source="archive") for one in minute_klines()))
        over.settle()

    monkeypatch.setattr(nightly, "audit", meanwhile)
    look(over)
    assert figures()[2] == 0
    monkeypatch.setattr(nightly, "audit", audited)
    long_ago()
    look(over)

    assert figures()[2] == len(minute_klines())


def test_a_day_of_any_age_is_looked_at_again_until_it_agrees(over, monkeypatch) -> None:
    monkeypatch.setattr(nightly, "DAYS_BACK", 0)
    look(over)
    assert not AuditRun.objects.exists(), "too old to be looked at by itself"

    long_ago = timezone.now() - dt.timedelta(hours=1)
    AuditRun.objects.create(
        symbol=BTC, day=DAY, state=AuditRun.State.DIFFERS, started_at=long_ago, finished_at=long_ago
    )
    look(over)

    assert AuditRun.objects.get().state == AuditRun.State.AGREES


def test_an_audit_that_was_killed_is_made_again_one_that_runs_is_left_alone(over) -> None:
    AuditRun.objects.create(symbol=BTC, day=DAY, state=AuditRun.State.RUNNING, started_at=timezone.now())
    look(over)
    assert AuditRun.objects.get().state == AuditRun.State.RUNNING

    AuditRun.objects.update(started_at=timezone.now() - dt.timedelta(hours=1))
    look(over)
    assert AuditRun.objects.get().state == AuditRun.State.AGREES


def test_an_audit_of_an_old_day_that_was_killed_is_made_again_too(over, monkeypatch) -> None:
    monkeypatch.setattr(nightly, "DAYS_BACK", 0)
    hour_ago = timezone.now() - dt.timedelta(hours=1)
    AuditRun.objects.create(symbol=BTC, day=DAY, state=AuditRun.State.RUNNING, started_at=hour_ago)

    look(over)

    assert AuditRun.objects.get().state == AuditRun.State.AGREES


@pytest.mark.parametrize("hours", [1, -1])
def test_claims_go_by_the_databases_clock_whatever_the_machine_says(over, monkeypatch, hours) -> None:
    real = timezone.now
    AuditRun.objects.create(symbol=BTC, day=DAY, state=AuditRun.State.RUNNING, started_at=real())
    monkeypatch.setattr(timezone, "now", lambda: real() + dt.timedelta(hours=hours))
    look(over)
    assert AuditRun.objects.get().state == AuditRun.State.RUNNING, "it runs: a clock that is ahead takes nothing"

    AuditRun.objects.all().delete()
    look(over)

    row = AuditRun.objects.get()
    for moment in (row.started_at, row.finished_at):
        assert abs(moment - real()) < dt.timedelta(minutes=30)


def test_two_workers_that_see_the_same_day_audit_it_once(over, monkeypatch) -> None:
    audited: list[str] = []
    real = nightly.audit

    def slowly(*arguments, **more):
        # The other worker has the same day in its list, and comes to it while this one is at it.
        if not audited:
            audited.append("first")
            monkeypatch.setattr(nightly, "_due", lambda _: iter([nightly.Due(BTC, MIDNIGHT - DAY_MS)]))
            look(over)
        else:
            audited.append("second")
        yield from real(*arguments, **more)

    monkeypatch.setattr(nightly, "audit", slowly)
    look(over)

    assert audited == ["first"]


def test_a_budget_that_is_spent_leaves_the_rest_for_the_next_wake_up(over) -> None:
    assert look(over, budget_s=0.0) is True
    assert not AuditRun.objects.exists()


def test_an_audit_that_fails_says_so_and_does_not_stand_in_the_way(over, monkeypatch) -> None:
    def broken(*_, **__):
        raise OSError("the store is away")

    monkeypatch.setattr(nightly, "audit", broken)
    with pytest.raises(OSError, match="away"):
        look(over)

    assert AuditRun.objects.get().state == AuditRun.State.FAILED
    assert look(over) is False


def test_an_operator_sees_the_audits(over, admin_client: Client) -> None:
    over.take(minute_klines())
    look(over)

    page = admin_client.get("/admin/analytics/auditrun/")

    assert page.status_code == 200
    assert b"agrees" in page.content
