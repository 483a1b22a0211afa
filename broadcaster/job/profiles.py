"""For whom a job is sent, where that is several: the job of each, and the environment in which it is sent for each.

It must not know runs: what becomes of each is an ordinary run of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broadcaster.errors import ConfigError
from broadcaster.job.model import Job

_KEY, _KEY_FILE, _PROFILE = "SENT_DM_API_KEY", "SENT_DM_API_KEY_FILE", "SENT_PROFILE_ID"
KEY_VARIABLE = "BROADCASTER_KEY_VARIABLE"
"""Where the environment of a run says in which variable workers elsewhere find its key."""
_LIMITS = ("requests_per_minute", "messages_per_minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One of the profiles: its name in the list, its id at Sent or the variable that has its own key, or both."""

    name: str
    id: str | None
    key_env: str | None


def senders_of(job: Job) -> tuple[Sender, ...]:
    """Return the profiles of *job*, in its order; none where it is sent for one account as a whole."""
    return tuple(
        Sender(name=each.name, id=each.id.lower() if each.id else None, key_env=each.key_env) for each in job.profiles
    )


def job_of(job: Job, sender: Sender) -> Job:
    """Return *job* with the limits of one profile."""
    table = next(each for each in job.profiles if each.name == sender.name)
    own = {name: limit for name in _LIMITS if (limit := getattr(table, name)) is not None}
    return job.model_copy(update={"limits": job.limits.model_copy(update=own)}) if own else job


def environment_of(
    sender: Sender, senders: Sequence[Sender], environ: Mapping[str, str], *, needs_key: bool = True
) -> dict[str, str]:
    """Return the environment in which one of the *senders* is sent for: with its key and its id, and no other's.

    Raises:
        ConfigError: it *needs* a key, and the variable for it is not set.
    """
    others = {each.key_env for each in senders if each.key_env not in {None, sender.key_env}}
    foreign = {_PROFILE, *(f"{name}{ending}" for name in others for ending in ("", "_FILE"))}
    found = {name: value for name, value in environ.items() if name not in foreign}
    if sender.id is not None:
        found[_PROFILE] = sender.id
    if sender.key_env is None:
        return found
    found = {name: value for name, value in found.items() if name not in {_KEY, _KEY_FILE}}
    if key := environ.get(sender.key_env):
        found[_KEY] = key
    elif path := environ.get(f"{sender.key_env}_FILE"):
        found[_KEY_FILE] = path
    elif needs_key:
        raise ConfigError(
            f"there is no API key for profile {sender.name}: set {sender.key_env}, or {sender.key_env}_FILE to a file "
            "that holds it"
        )
    return {**found, KEY_VARIABLE: sender.key_env}
