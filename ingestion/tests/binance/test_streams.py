import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.binance.streams import (
    MAX_STREAMS,
    SYMBOLS_PER_MESSAGE,
    difference,
    is_subscribable,
    plan,
    requests,
)

symbols = st.sets(st.integers(0, 60).map(lambda number: f"S{number}USDT"), max_size=40)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BTCUSDT", True),
        ("1000PEPEUSDT", True),
        ("币安人生USDT", True),
        ("BTC/USDT", False),
        ("BTC@X", False),
        ("", False),
    ],
)
def test_only_names_that_make_a_stream_are_subscribed(symbol, expected):
    assert is_subscribable(symbol) is expected


def test_both_streams_of_a_symbol_go_in_lower_case_into_one_message():
    (request,) = requests("SUBSCRIBE", ["BTCUSDT", "ETHUSDT"], first_id=7)

    body = json.loads(request.encode())

    assert body == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@aggTrade", "btcusdt@kline_1m", "ethusdt@aggTrade", "ethusdt@kline_1m"],
        "id": 7,
    }


def test_a_long_list_is_cut_into_messages_with_their_own_ids():
    names = [f"S{number}" for number in range(2 * SYMBOLS_PER_MESSAGE + 1)]

    batches = requests("SUBSCRIBE", names, first_id=1)

    assert [batch.request_id for batch in batches] == [1, 2, 3]
    assert [name for batch in batches for name in batch.symbols] == names
    assert all(len(batch.encode()) < 8_000 for batch in batches)


@given(symbols, symbols)
def test_a_plan_carries_each_wanted_symbol_exactly_once_and_overfills_no_connection(before, wanted):
    planned = plan(plan({}, before, max_streams=10), wanted, max_streams=10)

    carried = [symbol for group in planned.values() for symbol in group]
    assert sorted(carried) == sorted(wanted)
    assert all(0 < len(group) <= 5 for group in planned.values())


@given(symbols, symbols)
def test_a_symbol_that_stays_wanted_stays_on_its_connection(before, wanted):
    old = plan({}, before, max_streams=10)

    new = plan(old, wanted, max_streams=10)

    for number, group in old.items():
        assert group & wanted <= new.get(number, frozenset())


def test_a_full_connection_holds_half_as_many_symbols_as_streams_are_allowed():
    wanted = {f"S{number}" for number in range(600)}

    planned = plan({}, wanted)

    assert sorted(len(group) for group in planned.values()) == [600 - MAX_STREAMS // 2, MAX_STREAMS // 2]


@given(symbols, symbols)
def test_the_difference_turns_what_is_carried_into_what_is_wanted(carried, wanted):
    change = difference(carried, wanted)

    assert (carried | set(change.subscribe)) - set(change.unsubscribe) == wanted
    assert not set(change.subscribe) & carried
