"""Which key a worker sends with: always one of its own environment, that of the profile where it has one."""

import pytest

from broadcaster.cluster.worker import Order, _addressed
from broadcaster.core.words import Mode
from broadcaster.errors import ConfigError

ID = "7ba7b830-9dad-11d1-80b4-00c04fd430c9"
WORKER = {"SENT_DM_API_KEY": "usual", "A_KEY_FILE": "/a", "SENT_BASE_URL": "https://other.example", "PATH": "/bin"}


def order(*, profile: str | None = None, key_env: str | None = None, mode: Mode = Mode.LIVE) -> Order:
    url = "https://api.sent.dm"
    return Order(url="s3://b/r", shard=0, run="x", mode=mode, base_url=url, profile=profile, key_env=key_env)


def test_the_usual_key_acts_for_the_profile_of_the_plan() -> None:
    found = _addressed(order(profile=ID), Mode.LIVE, {**WORKER, "SENT_PROFILE_ID": "another"})
    assert found["SENT_DM_API_KEY"] == "usual"
    assert found["SENT_PROFILE_ID"] == ID
    assert found["SENT_BASE_URL"] == "https://api.sent.dm"
    assert "SENT_PROFILE_ID" not in _addressed(order(), Mode.LIVE, {**WORKER, "SENT_PROFILE_ID": "another"})


def test_a_profile_with_a_key_of_its_own_is_sent_with_that_one_alone() -> None:
    found = _addressed(order(key_env="A_KEY"), Mode.LIVE, WORKER)
    assert found["SENT_DM_API_KEY_FILE"] == "/a"
    assert "SENT_DM_API_KEY" not in found
    with pytest.raises(ConfigError, match="set B_KEY, or B_KEY_FILE"):
        _addressed(order(key_env="B_KEY"), Mode.LIVE, WORKER)
