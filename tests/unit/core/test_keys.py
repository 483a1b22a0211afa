from dataclasses import replace

import pytest

from broadcaster.core.keys import idempotency_key, is_key_of
from broadcaster.core.values import Scope
from broadcaster.core.words import Mode

LIVE = Scope(
    campaign="spring-sale-2026", generation="0", mode=Mode.LIVE, profile=None, method="POST", path="/v3/messages"
)
BODY = b'{"to":["+14155550100"],"template":{"id":"t-1"}}'

# Format f1, for ever: a change here means that a resumed run sends everything a second time.
GOLDEN = {
    "live": (LIVE, BODY, "f1-zlpx5qtop2paohi725kaag5kykm7gu54kzqyk6tx"),
    "another campaign, not ASCII": (
        replace(LIVE, campaign="fr\u00fchling-\u2600"),
        BODY,
        "f1-6avsawu6n5oy4bphfy2cjyp5i3vfsh7zj4q7kyju",
    ),
    "another generation": (replace(LIVE, generation="r1"), BODY, "f1-dm6j3yaafw3f45rit5no473nuxwnbrd5dabpnwe4"),
    "sandbox": (
        replace(LIVE, mode=Mode.SANDBOX),
        BODY[:-1] + b',"sandbox":true}',
        "f1-2usqxzz3ntg53mxbvdeolwiq3an6agu35qpq3j25",
    ),
    "simulated": (replace(LIVE, mode=Mode.SIMULATED), BODY, "f1-ptcv2dafk77qhcrs5tjeepvmtelq7i2mldrrhgad"),
    "a profile": (
        replace(LIVE, profile="3f0c2a52-0000-4000-8000-000000000001"),
        BODY,
        "f1-ta5xrs3j2ipegwr5vkzzuwmboprjkfhtgmnb53qs",
    ),
    "a body that is not ASCII": (
        LIVE,
        '{"to":["+14155550100"],"text":"Gr\u00fc\u00dfe \U0001f600"}'.encode(),
        "f1-n6ztjgfgwtfqa4v7jhqxtmlwc6py4nlgcp6kq4d6",
    ),
}


@pytest.mark.parametrize(("scope", "body", "key"), GOLDEN.values(), ids=GOLDEN)
def test_the_key_of_format_f1_is_for_ever(scope: Scope, body: bytes, key: str) -> None:
    assert idempotency_key(body, scope=scope) == key


@pytest.mark.parametrize(("scope", "body", "key"), GOLDEN.values(), ids=GOLDEN)
def test_a_key_is_known_as_that_of_its_request_and_of_no_other(scope: Scope, body: bytes, key: str) -> None:
    assert is_key_of(key, body, scope=scope)
    assert not is_key_of(key, body + b" ", scope=scope)
    assert not is_key_of(key, body, scope=replace(scope, campaign="another"))


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("f1-", id="no letters"),
        pytest.param("zlpx5qtop2paohi725kaag5kykm7gu54kzqyk6tx", id="no format"),
        pytest.param("f2-zlpx5qtop2paohi725kaag5kykm7gu54kzqyk6tx", id="another format"),
        pytest.param("f1-zlpx5qtop2paohi725kaag5kykm7gu54kzqyk6t", id="too short"),
        pytest.param("f1-zlpx5qtop2paohi725kaag5kykm7gu54kzqyk6txa", id="too long"),
        pytest.param("f1-zlpx5qtop2paohi725kaag5kykm7gu54kzqyk6ty", id="the last letter is another"),
        pytest.param("f1-ZLPX5QTOP2PAOHI725KAAG5KYKM7GU54KZQYK6TX", id="capitals"),
        pytest.param("f1-zlpx5qtop2paohi725Aaag5kykm7gu54kzqyk6tx", id="a capital that stands for the same digit"),
        pytest.param("f1-zlpx5qtop2paohi725k_ag5kykm7gu54kzqyk6tx", id="an underscore, which numbers may have"),
        pytest.param("f1-zlpx5qtop2paohi725k0ag5kykm7gu54kzqyk6tx", id="a digit that keys do not have"),
        pytest.param("f1-zlpx5qtop2paohi725k\u0663ag5kykm7gu54kzqyk6tx", id="a digit of another script"),
    ],
)
def test_what_is_not_the_key_is_not_taken_for_it(key: str) -> None:
    assert not is_key_of(key, BODY, scope=LIVE)


def test_no_two_scopes_share_a_key() -> None:
    assert len({key for _, _, key in GOLDEN.values()}) == len(GOLDEN)


def test_a_key_is_one_that_the_api_takes() -> None:
    key = idempotency_key(BODY, scope=LIVE)

    assert key.replace("-", "").isalnum()
    assert len(key) == 43


def test_the_first_letters_say_which_format_it_is() -> None:
    assert idempotency_key(BODY, scope=LIVE).startswith("f1-")
