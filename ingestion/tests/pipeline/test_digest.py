"""The digest tells every difference of the exact fields, and nothing else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.pipeline.digest import FIELDS, digest
from ingestion.pipeline.records import Candle
from ingestion.pipeline.window import empty_candle, fold
from ingestion.tests.pipeline.factories import START, make_trade
from markets.types import MINUTE_MS, Interval

MADE = fold([make_trade(number, number * 20_000, price=100 + number) for number in range(12)], Interval.M1)
PRICES = ("open", "high", "low", "close")


def test_every_field_of_a_candle_is_in_it() -> None:
    assert set(FIELDS) == set(Candle.__struct_fields__)


@given(st.permutations(MADE))
def test_the_order_does_not_matter(shuffled: list[Candle]) -> None:
    assert digest(shuffled) == digest(MADE)


@given(st.sampled_from(range(len(MADE))), st.sampled_from(FIELDS))
def test_any_other_value_of_any_field_is_another_digest(place: int, field: str) -> None:
    value = getattr(MADE[place], field)
    other = f"{value}X" if isinstance(value, str) else value + 1
    changed = [*MADE[:place], msgspec.structs.replace(MADE[place], **{field: other}), *MADE[place + 1 :]]

    assert digest(changed) != digest(MADE)


def test_a_candle_more_or_less_is_another_digest() -> None:
    assert len({digest(MADE[:count]) for count in range(len(MADE) + 1)}) == len(MADE) + 1


def test_null_is_not_zero() -> None:
    empty = empty_candle("BTCUSDT", Interval.M1, START, 0)

    assert digest([empty]) != digest([msgspec.structs.replace(empty, first_trade_id=0)])


def test_the_flat_price_of_an_empty_candle_is_no_part_of_it() -> None:
    at = START + 100 * MINUTE_MS
    known, unknown = (empty_candle("BTCUSDT", Interval.M1, at, price) for price in (42, 0))

    assert digest([*MADE, known]) == digest([*MADE, unknown]) != digest(MADE)


def test_two_versions_of_one_candle_have_no_digest() -> None:
    with pytest.raises(ValueError, match="twice"):
        digest([*MADE, MADE[0]])


def test_it_stays_as_it_is() -> None:
    """Digests are kept and compared between versions: another text for the same candles needs another _VERSION."""
    made = Candle("XMRBTC", "1m", START, 1, 4, 1, 3, 50, 60, 7, 8, 9, 10, 12, 13, 19, 3, 2)

    assert digest([made]) == "fb44f9e9b2e5ad908876cdc826e11658549b9058cc0eb1b807b117e20216f515"
