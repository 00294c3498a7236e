import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.reading.cursor import MAX_LENGTH, BadCursor, Cursor, decode, encode, seq_of, split_seq

SYMBOL = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=40)
BIG = st.integers(min_value=0, max_value=2**63 - 1)


@given(SYMBOL, st.sampled_from(["candles", "trades"]), st.sampled_from([None, "1m", "1M"]), BIG, BIG)
def test_a_cursor_comes_back_as_it_went_and_fits_an_address(symbol, channel, interval, place, seq):
    text = encode(Cursor(symbol, channel, interval, place, seq))

    assert len(text) <= MAX_LENGTH
    assert text.replace("-", "").replace("_", "").isalnum()
    assert decode(text, symbol=symbol, channel=channel, interval=interval) == Cursor(
        symbol, channel, interval, place, seq
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"symbol": "ETHUSDT", "channel": "candles", "interval": "1m"},
        {"symbol": "BTCUSDT", "channel": "trades", "interval": None},
        {"symbol": "BTCUSDT", "channel": "candles", "interval": "1M"},
    ],
)
def test_a_cursor_of_something_else_is_refused(asked):
    text = encode(Cursor("BTCUSDT", "candles", "1m", 5, 7))

    with pytest.raises(BadCursor, match="BTCUSDT candles 1m"):
        decode(text, **asked)


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text):
    with pytest.raises(BadCursor):
        decode(text, symbol="BTCUSDT", channel="candles", interval="1m")


def test_a_cursor_with_a_negative_place_is_refused():
    text = encode(Cursor("BTCUSDT", "candles", "1m", -1, 0))

    with pytest.raises(BadCursor):
        decode(text, symbol="BTCUSDT", channel="candles", interval="1m")


@given(st.integers(0, 2**20), st.integers(0, 2**40 - 1))
def test_a_seq_holds_epoch_and_offset(epoch, offset):
    assert split_seq(seq_of(epoch, offset)) == (epoch, offset)
