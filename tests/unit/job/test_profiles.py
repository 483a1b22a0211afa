"""Several profiles: the job of each, and an environment that has its key and nobody else's."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from broadcaster.errors import ConfigError
from broadcaster.job.load import job_from
from broadcaster.job.profiles import KEY_VARIABLE, Sender, environment_of, job_of, senders_of

ID = "7ba7b830-9dad-11d1-80b4-00c04fd430c9"
BY_ID = Sender(name="by-id", id=ID, key_env=None)
BY_KEY = Sender(name="by-key", id=None, key_env="A_KEY")
BY_FILE = Sender(name="by-file", id=None, key_env="B_KEY")
SENDERS = (BY_ID, BY_KEY, BY_FILE)
ENVIRON = {
    "PATH": "/bin",
    "SENT_DM_API_KEY": "whole",
    "SENT_DM_API_KEY_FILE": "/whole",
    "SENT_PROFILE_ID": "another",
    "A_KEY": "a",
    "B_KEY_FILE": "/b",
}


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        pytest.param(
            BY_ID,
            {"SENT_DM_API_KEY": "whole", "SENT_DM_API_KEY_FILE": "/whole", "SENT_PROFILE_ID": ID},
            id="an organization's key acts for it",
        ),
        pytest.param(
            BY_KEY, {"SENT_DM_API_KEY": "a", "A_KEY": "a", KEY_VARIABLE: "A_KEY"}, id="a key of its own, and no id"
        ),
        pytest.param(
            BY_FILE, {"SENT_DM_API_KEY_FILE": "/b", "B_KEY_FILE": "/b", KEY_VARIABLE: "B_KEY"}, id="a file with its key"
        ),
    ],
)
def test_a_profile_has_its_key_and_no_other(sender: Sender, expected: Mapping[str, str]) -> None:
    assert environment_of(sender, SENDERS, ENVIRON) == {"PATH": "/bin", **expected}


def test_a_key_that_is_not_there_is_named_and_not_replaced_by_another() -> None:
    with pytest.raises(ConfigError, match="no API key for profile by-key: set A_KEY, or A_KEY_FILE"):
        environment_of(BY_KEY, SENDERS, {"SENT_DM_API_KEY": "whole", "B_KEY": "b"})


def test_a_job_has_the_limits_of_its_profile_where_it_has_some() -> None:
    job = job_from(
        {
            "campaign": "spring",
            "recipients": {"file": "list.csv"},
            "message": {"text": "Hello"},
            "limits": {"requests_per_minute": 60, "batch_size": 7},
            "profiles": [
                {"name": "a", "id": ID.upper()},
                {"name": "b", "key_env": "B", "requests_per_minute": 300, "messages_per_minute": 900},
            ],
        },
        base=Path("/jobs"),
        name="spring.toml",
    )
    a, b = senders_of(job)
    assert (a, b) == (Sender(name="a", id=ID, key_env=None), Sender(name="b", id=None, key_env="B"))
    assert job_of(job, a).limits == job.limits
    mine = job_of(job, b)
    assert (mine.limits.requests_per_minute, mine.limits.messages_per_minute, mine.limits.batch_size) == (300, 900, 7)
    assert "requests_per_minute" in mine.limits.model_fields_set
    assert mine.base == job.base
