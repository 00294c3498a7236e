import asyncio

from hypothesis import given
from hypothesis import strategies as st

from analytics.ws.messages import Message
from analytics.ws.outbox import TOO_SLOW, Outbox

closed_messages = st.builds(lambda n: Message(f"closed {n}", n), st.integers(1, 99))
forming_messages = st.builds(lambda n, key: Message(f"forming {n}", n, key=key), st.integers(), st.sampled_from("abc"))
steps = st.lists(st.one_of(closed_messages, forming_messages, st.none()), max_size=60)


@given(steps, st.integers(1, 8))
def test_it_never_exceeds_its_bound_and_never_loses_what_must_arrive_without_closing(steps, most):
    outbox = Outbox(most_messages=most, most_chars=most * 10)
    owed, sent = [], []
    for step in steps:
        if step is None:
            sent.append(outbox.pop())
            continue
        outbox.put(step)
        owed += [step.text] if step.key is None else []
        assert len(outbox) <= most
        assert 0 <= outbox.chars <= most * 10
    while (text := outbox.pop()) is not None:
        sent.append(text)

    arrived = [text for text in sent if text is not None and text.startswith("closed")]

    assert arrived == owed or outbox.close_code == TOO_SLOW
    assert arrived == owed[: len(arrived)]


def test_only_the_newest_of_a_key_waits():
    outbox = Outbox()

    for number in range(1000):
        outbox.put(Message(str(number), key="BTC 1m"))

    assert [outbox.pop(), outbox.pop()] == ["999", None]


def test_a_closed_candle_takes_the_place_of_its_forming_one():
    outbox = Outbox()
    outbox.put(Message("forming", key="BTC 1m 10:00"))

    outbox.put(Message("closed", clears="BTC 1m 10:00"))

    assert [outbox.pop(), outbox.pop()] == ["closed", None]


def test_one_message_too_many_closes_it_for_good():
    outbox = Outbox(most_messages=2)

    for text in ("one", "two", "three", "four"):
        outbox.put(Message(text))

    assert outbox.close_code == TOO_SLOW
    assert (len(outbox), outbox.chars) == (0, 0)


async def test_whoever_waits_for_a_message_is_woken_by_closing():
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)

    outbox.close(1000)

    assert await waiting is None


async def test_a_replay_waits_until_half_of_the_outbox_is_free():
    outbox = Outbox(most_messages=4)
    for number in range(4):
        outbox.put(Message(str(number)))
    waiting = asyncio.create_task(outbox.has_room())
    await asyncio.sleep(0)
    assert not waiting.done()

    outbox.pop(), outbox.pop()

    assert await waiting is True
