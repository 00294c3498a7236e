import pytest

from ingestion.binance.watchdog import FROZEN_CAP_S, PATIENCE_CAP_S, Verdict, Watchdog, frozen_after_s


def watching(*symbols: str) -> Watchdog:
    watchdog = Watchdog(silent_after_s=30.0)
    watchdog.expect(symbols, now=0.0)
    return watchdog


def test_a_symbol_that_is_heard_needs_no_remedy():
    watchdog = watching("A")

    watchdog.hear(["A"], now=29.0)

    assert watchdog.judge(58.0) == Verdict()


def test_a_silent_symbol_is_subscribed_again_then_reconnected_for():
    watchdog = watching("A", "B")
    watchdog.hear(["B"], now=30.0)

    assert watchdog.judge(30.0) == Verdict(resubscribe=("A",))
    watchdog.hear(["B"], now=59.0)
    assert watchdog.judge(59.0) == Verdict()
    assert watchdog.judge(60.0) == Verdict(reconnect_for=("A",))


def test_a_symbol_that_came_back_starts_anew():
    watchdog = watching("A")
    watchdog.judge(30.0)
    watchdog.hear(["A"], now=31.0)

    assert watchdog.judge(61.0) == Verdict(resubscribe=("A",))


def test_a_symbol_that_stays_silent_is_tried_less_and_less_often():
    watchdog = watching("A")
    tries = [now for now in range(0, 40_000) if watchdog.judge(float(now)).reconnect_for]

    pauses = [later - earlier for earlier, later in zip(tries, tries[1:], strict=False)]

    assert pauses[:4] == [30, 60, 120, 240]
    assert max(pauses) == PATIENCE_CAP_S


def test_nobody_is_silent_while_we_do_not_read():
    watchdog = watching("A")

    watchdog.excuse(now=1_000.0)

    assert watchdog.silent(1_029.0) == []
    assert watchdog.silent(1_030.0) == ["A"]


def test_a_symbol_that_was_given_up_is_not_missed():
    watchdog = watching("A", "B")

    watchdog.keep_only({"B"})

    assert watchdog.silent(100.0) == ["B"]


@pytest.mark.parametrize(("fruitless", "expected"), [(0, 15.0), (1, 30.0), (3, 120.0), (500, FROZEN_CAP_S)])
def test_a_server_with_nothing_to_say_is_asked_less_and_less_often(fruitless, expected):
    assert frozen_after_s(fruitless) == expected
