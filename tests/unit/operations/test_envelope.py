"""The error envelope in every form that was seen, and some that were not."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.values import Instant, Reply
from broadcaster.core.words import Shape
from broadcaster.operations.envelope import discreet, hear_error, retry_after_s

SERVER_TIME = "Sat, 21 Nov 2026 12:00:00 GMT"
SERVER_S = 1_795_262_400
TO = ("+14155550100", "+14155550101", "+14155550102", "+447700900123")


def reply(body: object = b"", *, status: int = 400, headers: dict[str, str] | None = None) -> Reply:
    now = Instant(wall_us=(SERVER_S + 1000) * 1_000_000)  # our clock is wrong by a quarter of an hour
    return Reply(
        status=status,
        headers=headers or {},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        started=now,
        ended=now,
    )


def v3(details: object, code: str = "VALIDATION_002") -> dict[str, object]:
    error = {"code": code, "message": "Validation failed", "details": details, "doc_url": "/errors/X"}
    return {"success": False, "data": None, "error": error, "meta": {"request_id": "req_9", "version": "v3"}}


BAD = ["Invalid phone number"]
BLAME: dict[str, tuple[object, tuple[int, ...]]] = {
    "an index in brackets": (v3({"to[3]": BAD}), (3,)),
    "an index after a dot": (v3({"to.2": BAD}), (2,)),
    "a path below the index": (v3({"to[1].phone": BAD, "to.2.value": BAD}), (1, 2)),
    "a root before it": (v3({"$.to[1]": BAD, "body.to[2]": BAD}), (1, 2)),
    "another case": (v3({"To[1]": BAD}), (1,)),
    "several": (v3({"to[3]": BAD, "to[0]": BAD}), (0, 3)),
    "the number in an item's text": (v3({"to": ["+14155550101 is not a valid phone number"]}), (1,)),
    "numbers in several texts": (v3({"to": ["bad: +14155550102", "bad: '+447700900123'"]}), (2, 3)),
    "a number written with spaces": (v3({"to": ["+44 7700 900123 cannot be reached"]}), (3,)),
    "one text instead of a list": (v3({"to": "+14155550100 is bad"}), (0,)),
    "an index in an item's text": (v3({"to": ["to[2] is not a phone number"]}), (2,)),
    "the number wins over an index that counts otherwise": (v3({"to[2]": ["+14155550101 is bad"]}), (1,)),
    "a list of objects": (v3([{"field": "to[1]", "message": "bad"}]), (1,)),
    "a list of problems at the top": ({"title": "Bad", "errors": [{"name": "to[0]", "reason": "bad"}]}, (0,)),
    "a map of problems at the top": ({"title": "Bad", "errors": {"to[0]": BAD}}, (0,)),
    "an index beyond the batch": (v3({"to[4]": BAD}), ()),
    "an index beyond all numbers": (v3({"to[99999999999999999999]": BAD}), ()),
    "a number that is not ours": (v3({"to": ["+12025550199 is bad"]}), ()),
    "the field alone": (v3({"to": BAD}), ()),
    "a field that only begins alike": (v3({"token[1]": BAD, "total": BAD}), ()),
    "the number in the message alone": (
        {"success": False, "error": {"code": "VALIDATION_002", "message": "+14155550100 is bad", "details": None}},
        (),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "blamed"), BLAME.values(), ids=BLAME)
def test_whom_an_error_names(body: object, blamed: tuple[int, ...]) -> None:
    assert hear_error(TO, reply(body)).blamed == blamed


ABOUT: dict[str, tuple[object, set[str]]] = {
    "a field": (v3({"template": BAD}), {"template"}),
    "a path below it": (v3({"template.parameters.name": BAD}), {"template"}),
    "camel case and a root": (v3({"$.scheduledAt": BAD}), {"scheduled_at"}),
    "beside recipients": (v3({"to[1]": BAD, "Channel": BAD}), {"channel"}),
    "recipients only": (v3({"to": BAD}), set()),
    "nothing": (v3(None), set()),
}


@pytest.mark.parametrize(("body", "about"), ABOUT.values(), ids=ABOUT)
def test_what_else_an_error_names(body: object, about: set[str]) -> None:
    assert hear_error(TO, reply(body)).about == about


def test_code_sentence_and_request_id_come_from_the_envelope() -> None:
    heard = hear_error(TO, reply(v3(None), status=422, headers={"x-request-id": "req_header"}))

    assert (heard.status, heard.shape, heard.code) == (422, Shape.ERROR, "VALIDATION_002")
    assert (heard.sentence, heard.request_id) == ("Validation failed", "req_9")


def test_without_a_body_the_header_names_the_request() -> None:
    assert hear_error(TO, reply(b"", headers={"x-request-id": "req_header"})).request_id == "req_header"


def test_problem_details_of_version_2_are_understood() -> None:
    heard = hear_error(TO, reply({"status": 400, "title": "Bad Request", "detail": "The contact is unknown"}))

    assert (heard.code, heard.sentence) == ("", "The contact is unknown")


ODD = {
    "nothing": b"",
    "html": b"<html><h1>502 Bad Gateway</h1></html>",
    "cut off": json.dumps(v3({"to[1]": BAD})).encode()[:-10],
    "not UTF-8": b'{"error":{"code":"\xff"}}',
    "a list": b"[1]",
    "a number": b"7",
    "too deep": b"[" * 100_000,
    "an error that is a list": b'{"error":[1,2],"meta":[3]}',
    "fields of odd types": b'{"error":{"code":5,"message":{"a":1},"details":{"to":{"1":2}}},"errors":7,"meta":"x"}',
    "a code that is a sentence": b'{"error":{"code":"a code with spaces"}}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_a_body_that_says_nothing_leaves_the_status_to_speak(body: bytes) -> None:
    heard = hear_error(TO, reply(body, status=502))

    assert (heard.status, heard.code, heard.blamed, heard.about) == (502, "", (), frozenset())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "code", "details", "to", "to[1]", "meta", "errors"]), inner)
        ),
        max_leaves=15,
    )
)
def test_nothing_an_api_says_raises(body: object) -> None:
    heard = hear_error(TO, reply(body))

    assert all(0 <= position < len(TO) for position in heard.blamed)


def test_an_error_that_is_a_text_is_its_sentence() -> None:
    assert hear_error(TO, reply({"error": "nope"})).sentence == "nope"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bad number +14155550100!", "bad number (number)!"),
        ("bad number 1 (415) 555-0100", "bad number (number)"),
        ("+44  (0)  7700  900123", "(number)"),
        ("key sk_live_abc123 is wrong", "key (id) is wrong"),
        ("key 7ba7b820-9dad-11d1-80b4-00c04fd430c8", "key (id)"),
        ("used f1-abcdefghijklmnopqrstuvwxyz234567abcdefgh", "used (id)"),
        ("at most 1000 recipients in 60 s", "at most 1000 recipients in 60 s"),
        ("two\n lines\t\x1b[31m\u202eand marks", "two lines [31m and marks"),
    ],
)
def test_what_people_read_holds_no_number_no_key_and_no_control_character(text: str, expected: str) -> None:
    assert discreet(text) == expected


def test_what_people_read_is_short() -> None:
    assert len(discreet("word " * 1000)) == 300


@given(st.text(alphabet="+0123456789 ()-x", max_size=60))
def test_no_run_of_seven_digits_survives(text: str) -> None:
    assert not re.search(r"\d([ ().-]{0,3}\d){6}", discreet(text))


WAITS: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"retry-after": "60"}, 60.0),
    "part of a second": ({"retry-after": "1.5"}, 1.5),
    "more than a minute": ({"retry-after": "900"}, 900.0),
    "spaces around": ({"retry-after": " 7 "}, 7.0),
    "an hour is the most": ({"retry-after": "999999999999"}, 3600.0),
    "zero": ({"retry-after": "0"}, None),
    "negative": ({"retry-after": "-5"}, None),
    "garbage": ({"retry-after": "soon"}, None),
    "not a number": ({"retry-after": "nan"}, None),
    "infinite": ({"retry-after": "inf"}, None),
    "other digits": ({"retry-after": "\u0661\u0662\u202f"}, None),
    "nothing": ({}, None),
    "a date, by the api's clock": ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT", "date": SERVER_TIME}, 30.0),
    "a date, by our clock": ({"retry-after": "Sat, 21 Nov 2026 12:17:00 GMT"}, 20.0),
    "a date that is past": ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT", "date": SERVER_TIME}, None),
    "a date far away": ({"retry-after": "Sat, 21 Nov 2099 11:00:00 GMT", "date": SERVER_TIME}, 3600.0),
    "a date that is none": ({"retry-after": "Sat, 99 Nov 2026 12:00:30 GMT", "date": "yesterday"}, None),
    "the end of the window": ({"x-ratelimit-reset": str(SERVER_S + 42), "date": SERVER_TIME}, 42.0),
    "the end of a window that is past": ({"x-ratelimit-reset": str(SERVER_S - 1), "date": SERVER_TIME}, None),
    "the window, but Retry-After first": (
        {"retry-after": "3", "x-ratelimit-reset": str(SERVER_S + 42), "date": SERVER_TIME},
        3.0,
    ),
}


@pytest.mark.parametrize(("headers", "expected_s"), WAITS.values(), ids=WAITS)
def test_how_long_the_api_asks_to_wait(headers: dict[str, str], expected_s: float | None) -> None:
    assert retry_after_s(reply(status=429, headers=headers)) == expected_s


def test_the_window_of_the_rate_limit_matters_on_a_429_only() -> None:
    headers = {"x-ratelimit-reset": str(SERVER_S + 42), "date": SERVER_TIME}

    assert retry_after_s(reply(status=503, headers=headers)) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, ""),
        ({"idempotent-replayed": "false", "x-original-request-id": "req_0"}, ""),
        ({"idempotent-replayed": "true", "x-original-request-id": "req_0"}, "req_0"),
        ({"idempotent-replayed": "True"}, "?"),
    ],
)
def test_an_answer_from_memory_names_the_first_request(headers: dict[str, str], expected: str) -> None:
    assert hear_error(TO, reply(headers=headers)).replayed == expected
