"""The sign of life of a role."""

import datetime as dt
import threading

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingestion.models import Heartbeat
from ingestion.roles import Pulse, Role
from ingestion.roles.heartbeat import HeartbeatThread


class Still(Role):
    """Shows the pulses it was given, one after the other; without one left, it breaks."""

    name = "still"

    def __init__(self, *pulses: Pulse) -> None:
        self._pulses = list(pulses)
        self.is_asked = threading.Event()

    def pulse(self) -> Pulse:
        self.is_asked.set()
        return self._pulses.pop(0)


PULSE = Pulse(processed=40, lag=7, last_message_ms=1_700_000_000_500, status="degraded", detail="late" * 200)


@pytest.mark.django_db
def test_a_pulse_is_one_row_however_often_it_beats() -> None:
    thread = HeartbeatThread(Still(), "host:1")

    thread.beat(PULSE)
    thread.beat(Pulse(60, 0, None, "ok", ""))

    row = Heartbeat.objects.get()
    assert (row.role, row.instance, row.status, row.lag, row.rate) == ("still", "host:1", "ok", 0, 10.0)


@pytest.mark.django_db
def test_a_long_detail_is_cut_and_times_are_utc() -> None:
    HeartbeatThread(Still(), "host:1").beat(PULSE)

    row = Heartbeat.objects.get()
    assert len(row.detail) == 400
    assert row.last_message_at == dt.datetime.fromtimestamp(1_700_000_000.5, tz=dt.UTC)


@pytest.mark.django_db
def test_the_pulse_is_in_the_metrics_too() -> None:
    HeartbeatThread(Still(), "host:1").beat(PULSE)

    assert REGISTRY.get_sample_value("streamloom_role_lag", {"role": "still"}) == 7
    assert REGISTRY.get_sample_value("streamloom_role_ok", {"role": "still"}) == 0


@pytest.mark.django_db(transaction=True)
def test_the_thread_survives_a_role_without_a_pulse_and_ends_when_told() -> None:
    role = Still()
    thread = HeartbeatThread(role, "host:1")

    thread.start()
    assert role.is_asked.wait(10)
    assert thread.is_alive()
    thread.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert not Heartbeat.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_pulse_that_fails_because_the_role_has_ended_is_not_told() -> None:
    role = Still()
    thread = HeartbeatThread(role, "host:1")
    role.pulse = thread.stop  # type: ignore[method-assign,assignment] - ends, and gives nothing to beat

    with capture_logs() as lines:
        thread.run()

    assert lines == []
