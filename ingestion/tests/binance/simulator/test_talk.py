"""Control messages, without a socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.binance.simulator.talk import Talk


def heard(talk: Talk, **request):
    return json.loads(talk.hear(json.dumps(request)).text)


@pytest.mark.parametrize("identity", [0, 1, -5, 2**63 - 1, "a" * 32, "1b4e28ba-2fa1-11d2-883f-0016d3cca427", None])
def test_the_id_comes_back_as_it_was_sent(identity):
    reply = heard(Talk(combined=False), method="SUBSCRIBE", params=["a@trade"], id=identity)

    assert reply == {"result": None, "id": identity}


@pytest.mark.parametrize("identity", [2**63, "a" * 37, 1.5, [1], True])
def test_an_impossible_id_is_refused(identity):
    reply = heard(Talk(combined=False), method="LIST_SUBSCRIPTIONS", id=identity)

    assert reply["error"]["code"] == 2


def test_a_stream_asked_for_twice_is_listed_once():
    talk = Talk(combined=False)
    heard(talk, method="SUBSCRIBE", params=["a@trade", "b@trade"], id=1)

    again = talk.hear('{"method":"SUBSCRIBE","params":["b@trade","c@trade"],"id":2}')

    assert again.subscribed == ["c@trade"]
    assert heard(talk, method="LIST_SUBSCRIPTIONS", id=3)["result"] == ["a@trade", "b@trade", "c@trade"]


def test_a_stream_can_be_left():
    talk = Talk(combined=False)
    heard(talk, method="SUBSCRIBE", params=["a@trade", "b@trade"], id=1)

    assert heard(talk, method="UNSUBSCRIBE", params=["a@trade", "z@trade"], id=2) == {"result": None, "id": 2}
    assert heard(talk, method="LIST_SUBSCRIPTIONS", id=3)["result"] == ["b@trade"]


def test_combined_is_a_property():
    talk = Talk(combined=False)

    assert heard(talk, method="GET_PROPERTY", params=["combined"], id=1)["result"] is False
    assert heard(talk, method="SET_PROPERTY", params=["combined", True], id=2)["result"] is None
    assert heard(talk, method="GET_PROPERTY", params=["combined"], id=3)["result"] is True


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{nonsense", 3, "Invalid JSON"),
        ('{"id":1}', 2, "missing field `method`"),
        ('{"method":"NO","id":1}', 2, "unknown variant `NO`, expected one of `SUBSCRIBE`"),
        ('{"method":"SUBSCRIBE","id":1}', 2, "Invalid request"),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2, "Invalid request"),
        ('{"method":"SUBSCRIBE","params":["no such thing!"],"id":1}', 2, "invalid stream"),
        ('{"method":"SET_PROPERTY","params":["other",true],"id":1}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "expected Boolean"),
        ('{"method":"GET_PROPERTY","params":[1],"id":1}', 2, "must be a string"),
        ('{"method":"GET_PROPERTY","params":["combined",1],"id":1}', 2, "too many parameters"),
    ],
)
def test_a_bad_request_gets_the_exchanges_error(text, code, words):
    error = json.loads(Talk(combined=False).hear(text).text)["error"]

    assert error["code"] == code
    assert words in error["msg"]


def test_there_are_1024_streams_and_no_more():
    talk = Talk(combined=False)
    heard(talk, method="SUBSCRIBE", params=[f"a{number}@trade" for number in range(1024)], id=1)

    reply = heard(talk, method="SUBSCRIBE", params=["one@trade"], id=2)

    assert reply["error"] == {"code": 4, "msg": "Too many subscriptions"}
    assert len(talk.streams) == 1024


@given(st.text())
def test_any_text_gets_a_reply(text):
    assert json.loads(Talk(combined=False).hear(text).text)
