"""Signatures, with the library itself as the other side: what it signs is believed, and nothing else is."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from broadcaster.errors import ConfigError
from broadcaster.job.settings import Secret
from broadcaster.tracking.signature import ID, SIGNATURE, TIMESTAMP, Signatures, webhook_secrets

NOW_S = 1_780_000_000
HOOK = "3f0c2a52-0000-4000-8000-000000000001"
BODY = b'{"field":"message","event":"message.delivered","payload":{"message_id":"m-1","message_status":"DELIVERED"}}'
OLD, NEW, FOREIGN = (
    Secret("whsec_" + base64.b64encode(bytes(range(first, first + 32))).decode()) for first in (0, 32, 64)
)


def signed(body: bytes, *, secret: Secret = OLD, at_s: int = NOW_S, hook: str = HOOK) -> dict[str, str]:
    """The headers that the library makes for *body*, under Sent's names."""
    signature = Webhook(secret.reveal()).sign(hook, datetime.fromtimestamp(at_s, tz=UTC), body.decode())
    return {ID: hook, TIMESTAMP: str(at_s), SIGNATURE: signature}


def objection(
    body: bytes = BODY,
    headers: Mapping[str, str] | None = None,
    *,
    secrets: tuple[Secret, ...] = (OLD,),
    tolerance_s: float = 300,
    now_s: float = NOW_S,
) -> str | None:
    headers = signed(BODY) if headers is None else headers
    return Signatures(secrets, tolerance_s=tolerance_s).objection(body, headers, now_s=now_s)


def test_the_published_vector_is_believed() -> None:
    assert len(BODY) == 107
    headers = {ID: HOOK, TIMESTAMP: "1780000000", SIGNATURE: "v1,9oqSJg9oDFccKnSfMIwrbnE+e03WkgLNcVJE+U0XX9o="}
    assert objection(BODY, headers) is None
    assert headers == signed(BODY)


@pytest.mark.parametrize("secret", [OLD, NEW], ids=["the old secret", "the new secret"])
def test_during_a_rotation_either_secret_is_believed(secret: Secret) -> None:
    assert objection(headers=signed(BODY, secret=secret), secrets=(OLD, NEW)) is None
    assert objection(headers=signed(BODY, secret=FOREIGN), secrets=(OLD, NEW)) is not None


def test_one_of_several_signatures_is_enough() -> None:
    headers = signed(BODY)
    headers[SIGNATURE] = f"v1a,other v1,{base64.b64encode(bytes(32)).decode()} {headers[SIGNATURE]}"
    assert objection(headers=headers) is None


@pytest.mark.parametrize(
    ("age_s", "tolerance_s", "believed"),
    [
        (0, 300, True),
        (300, 300, True),
        (301, 300, False),
        (-300, 300, True),
        (-301, 300, False),
        (1140, 86_400, True),
        (5, 4, False),
    ],
)
def test_the_age_is_judged_by_the_tolerance_that_is_set(age_s: int, tolerance_s: float, *, believed: bool) -> None:
    headers = signed(BODY, at_s=NOW_S - age_s)
    assert (objection(headers=headers, tolerance_s=tolerance_s) is None) is believed


CHANGED: dict[str, Mapping[str, str]] = {
    "no id": {ID: ""},
    "another id": {ID: HOOK.replace("3f", "4f")},
    "an id with a dot, where what is signed could be cut elsewhere": {ID: "a.b"},
    "an id with a character that is none": {ID: "\udcff"},
    "no timestamp": {TIMESTAMP: ""},
    "a timestamp of another moment": {TIMESTAMP: "1780000001"},
    "a timestamp with a fraction": {TIMESTAMP: "1780000000.0"},
    "a timestamp with a sign": {TIMESTAMP: "+1780000000"},
    "a timestamp with zeros before it": {TIMESTAMP: "01780000000"},
    "a timestamp in other digits": {TIMESTAMP: "١٧٨٠٠٠٠٠٠٠"},
    "a timestamp of many digits": {TIMESTAMP: "9" * 400},
    "a timestamp that is no number": {TIMESTAMP: "nan"},
    "no signature": {SIGNATURE: ""},
    "only blanks": {SIGNATURE: "   "},
    "another version": {SIGNATURE: "v2,9oqSJg9oDFccKnSfMIwrbnE+e03WkgLNcVJE+U0XX9o="},
    "no version": {SIGNATURE: "9oqSJg9oDFccKnSfMIwrbnE+e03WkgLNcVJE+U0XX9o="},
    "an empty one": {SIGNATURE: "v1,"},
    "two commas": {SIGNATURE: "v1,,9oqSJg9oDFccKnSfMIwrbnE+e03WkgLNcVJE+U0XX9o="},
    "one that is no base64": {SIGNATURE: "v1,%%%"},
    "a character beyond ASCII": {SIGNATURE: "v1,ü"},
    "the first part of it": {SIGNATURE: "v1,9oqSJg9oDFccKnSfMIwrbnE"},
    "the old scheme": {SIGNATURE: "sha256=f68a92260f680c571c2a749f308c2b6e713e7b4dd69202cd715244f94d175fda"},
    "a thousand signatures": {SIGNATURE: " ".join(["v1,AAAA"] * 1000 + [signed(BODY)[SIGNATURE]])},
}


@pytest.mark.parametrize("changes", CHANGED.values(), ids=CHANGED.keys())
def test_any_doubt_about_the_headers_is_a_no(changes: Mapping[str, str]) -> None:
    assert objection(headers={**signed(BODY), **changes}) is not None


@pytest.mark.parametrize("missing", [ID, TIMESTAMP, SIGNATURE])
def test_every_header_is_needed(missing: str) -> None:
    headers = signed(BODY)
    del headers[missing]
    assert objection(headers=headers) is not None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="none"),
        pytest.param(BODY.replace(b"DELIVERED", b"delivered"), id="another letter"),
        pytest.param(BODY + b"\n", id="a line break more"),
        pytest.param(BODY.replace(b":", b": "), id="the same document, written otherwise"),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
def test_another_body_is_not_believed(body: bytes) -> None:
    assert objection(body, signed(BODY)) is not None


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200), headers=st.dictionaries(st.sampled_from([ID, TIMESTAMP, SIGNATURE]), st.text()))
def test_nothing_raises_and_nothing_foreign_is_believed(body: bytes, headers: dict[str, str]) -> None:
    assert objection(body, headers) is not None
    assert objection(body, {**signed(BODY), **headers}) is not None or (body == BODY and not headers)


# ---- where the secrets come from ------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n", " \n\n "], ids=repr)
def test_several_secrets_can_be_separated_by_blanks_commas_and_lines(tmp_path: Path, between: str) -> None:
    text = between.join(each.reveal() for each in (OLD, NEW, OLD))
    file = tmp_path / "secrets"
    file.write_text(f"\ufeff{text}\n", encoding="utf-8")
    assert webhook_secrets({"SENT_WEBHOOK_SECRET": text}) == (OLD, NEW)
    assert webhook_secrets({"SENT_WEBHOOK_SECRET_FILE": str(file)}) == (OLD, NEW)


def test_a_secret_without_prefix_or_padding_is_one_too() -> None:
    bare = OLD.reveal().removeprefix("whsec_").rstrip("=")
    assert objection(secrets=webhook_secrets({"SENT_WEBHOOK_SECRET": bare})) is None


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "set SENT_WEBHOOK_SECRET to the signing secret"),
        ({"SENT_WEBHOOK_SECRET": "  "}, "set SENT_WEBHOOK_SECRET"),
        ({"SENT_WEBHOOK_SECRET": "whsec_"}, "SENT_WEBHOOK_SECRET: the secret is no signing secret"),
        ({"SENT_WEBHOOK_SECRET": "whsec_c2hvcnQ="}, "16 bytes or more"),
        ({"SENT_WEBHOOK_SECRET": f"{OLD.reveal()} CANARY!"}, "secret 2 of 2 is no signing secret"),
        ({"SENT_WEBHOOK_SECRET": "CANARYüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü"}, "no signing secret"),
        ({"SENT_WEBHOOK_SECRET": ", ,"}, "there is no webhook secret in it"),
        ({"SENT_WEBHOOK_SECRET_FILE": "/nowhere/CANARY"}, "cannot be read (No such file"),
        ({"SENT_WEBHOOK_SECRET_FILE": "CANARY\0"}, "not text in UTF-8"),
    ],
)
def test_a_secret_that_is_none_is_a_sentence_that_does_not_repeat_it(environ: Mapping[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        webhook_secrets(environ)
    assert sentence in raised.value.sentence
    assert "CANARY" not in raised.value.sentence


def test_there_are_no_signatures_without_a_secret() -> None:
    with pytest.raises(ConfigError, match="SENT_WEBHOOK_SECRET"):
        Signatures((), tolerance_s=300)
    assert "AAEC" not in repr(Signatures((OLD,), tolerance_s=300))
