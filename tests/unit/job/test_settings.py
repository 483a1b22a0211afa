"""The environment becomes settings, and what is secret stays so."""

import copy
import pickle
from pathlib import Path

import pytest

from broadcaster.errors import ConfigError
from broadcaster.job.settings import Secret, load_settings

KEY = "sk_test_CANARY"
PROFILE = "7BA7B820-9dad-11d1-80b4-00c04fd430c8"

BASE_URLS = [
    ("the real one", "https://api.sent.dm", "https://api.sent.dm"),
    ("a trailing slash", "https://api.sent.dm/", "https://api.sent.dm"),
    ("capitals", "HTTPS://API.Sent.dm", "https://api.sent.dm"),
    ("a port", "https://sent.example:8443", "https://sent.example:8443"),
    ("localhost without TLS", "http://localhost:8080", "http://localhost:8080"),
    ("a loopback address without TLS", "http://127.0.0.9:1", "http://127.0.0.9:1"),
    ("the loopback address of IPv6", "http://[::1]:8080/", "http://[::1]:8080"),
    ("nothing", "", "https://api.sent.dm"),
]
BAD_BASE_URLS = [
    ("http to elsewhere", "http://api.sent.dm", "use https"),
    ("http to a name that begins like this machine", "http://localhost.example", "use https"),
    ("a path", "https://api.sent.dm/v3", "no user, path or query"),
    ("a query", "https://api.sent.dm?x=1", "no user, path or query"),
    ("an empty query", "https://api.sent.dm/?", "no user, path or query"),
    ("a fragment", "https://api.sent.dm#x", "no user, path or query"),
    ("a user", "https://CANARY:CANARY@api.sent.dm", "no user, path or query"),
    ("no scheme", "api.sent.dm", "not an address"),
    ("another scheme", "ftp://api.sent.dm", "not an address"),
    ("no host", "https://", "not an address"),
    ("a port that is none", "https://api.sent.dm:99999", "not an address"),
    ("half an IPv6 address", "https://[::1", "not an address"),
    ("a tab inside", "https://api.sent\t.dm", "no spaces"),
]
BAD_KEYS = [
    ("a space", "sk CANARY"),
    ("a line break at its end", "CANARY\n"),
    ("a header of its own", "CANARY\r\nx-evil: 1"),
    ("beyond ASCII", "CANARYé"),
    ("a control character", "CANARY\x7f"),
]


@pytest.mark.parametrize(("text", "url"), [pytest.param(t, u, id=name) for name, t, u in BASE_URLS])
def test_a_base_url_is_scheme_host_and_port(text: str, url: str) -> None:
    assert load_settings({"SENT_DM_API_KEY": KEY, "SENT_BASE_URL": text}).base_url == url


@pytest.mark.parametrize(("text", "sentence"), [pytest.param(t, s, id=name) for name, t, s in BAD_BASE_URLS])
def test_any_other_base_url_is_refused_without_repeating_it(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({"SENT_DM_API_KEY": KEY, "SENT_BASE_URL": text})

    assert refused.value.sentence.startswith("SENT_BASE_URL")
    assert sentence in refused.value.sentence
    assert "CANARY" not in refused.value.sentence


@pytest.mark.parametrize("key", [pytest.param(key, id=name) for name, key in BAD_KEYS])
def test_a_key_that_no_header_carries_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigError, match="SENT_DM_API_KEY") as refused:
        load_settings({"SENT_DM_API_KEY": key})

    assert "CANARY" not in refused.value.sentence


def test_without_a_key_the_variables_and_the_way_without_one_are_named() -> None:
    for environ in ({}, {"SENT_DM_API_KEY": "", "SENT_DM_API_KEY_FILE": ""}):
        with pytest.raises(ConfigError, match=r"SENT_DM_API_KEY, .*SENT_DM_API_KEY_FILE.*--simulate"):
            load_settings(environ)


def test_the_variable_goes_before_the_file_and_the_file_is_stripped(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"\ufeff  {KEY}\r\n", encoding="utf-8")
    environ = {"SENT_DM_API_KEY_FILE": str(file)}

    assert load_settings(environ).key.reveal() == KEY
    assert load_settings(environ | {"SENT_DM_API_KEY": "first"}).key.reveal() == "first"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param(b" \n", "is empty", id="empty"),
        pytest.param(b"CANARY\xff", "not text", id="not text"),
        pytest.param(b"CANARY\nCANARY", "line break", id="two lines"),
    ],
)
def test_a_key_file_that_is_not_usable_is_named_by_its_variable(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match="SENT_DM_API_KEY_FILE") as refused:
        load_settings({"SENT_DM_API_KEY_FILE": str(file)})

    assert sentence in refused.value.sentence
    assert "CANARY" not in refused.value.sentence


def test_a_profile_is_a_uuid_in_one_way_of_writing() -> None:
    environ = {"SENT_DM_API_KEY": KEY}

    assert load_settings(environ).profile_id is None
    assert load_settings(environ | {"SENT_PROFILE_ID": f" {PROFILE} "}).profile_id == PROFILE.lower()
    with pytest.raises(ConfigError, match="SENT_PROFILE_ID"):
        load_settings(environ | {"SENT_PROFILE_ID": "sales"})


def test_a_secret_is_shown_nowhere() -> None:
    settings = load_settings({"SENT_DM_API_KEY": KEY})
    secret = settings.key
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", repr(settings), repr([secret])]

    assert not any("CANARY" in text for text in shown)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(settings)


def test_a_secret_is_compared_and_copied_like_its_value() -> None:
    secret = Secret(KEY)

    assert secret == Secret(KEY)
    assert secret not in (Secret("other"), KEY)
    assert {secret} == {Secret(KEY)}
    assert copy.deepcopy(secret).reveal() == copy.copy(secret).reveal() == KEY
