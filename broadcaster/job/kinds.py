"""What a job may ask for, given its kind and the version of the API: the rest is a mistake, said in a sentence.

Values are right or wrong by themselves elsewhere; here keys are looked at together, when each of them is right.
"""

from collections.abc import Iterator

from broadcaster.core.words import Channel
from broadcaster.job.mistakes import Mistake
from broadcaster.job.model import Job

_OF_MESSAGES = ("messages_per_minute", "price_per_message", "max_cost")
_RESERVED = "@"  # what names begin with that are put beside the parameters of a template


def unsuitable(job: Job) -> list[Mistake]:
    """Return the keys of *job* that its kind or its version of the API has no use for."""
    found = [*_of_profiles(job), *_of_kind(job)]
    return [Mistake(key=key, sentence=sentence) for key, sentence in found]


def _of_kind(job: Job) -> Iterator[tuple[str, str]]:
    return _of_contacts(job) if job.kind == "contacts" else _of_legacy(job) if job.api.version == "v1" else _of_v3(job)


def _of_profiles(job: Job) -> Iterator[tuple[str, str]]:
    if not job.profiles:
        if job.recipients.profile is not None:
            yield "recipients.profile", "needs a [[profiles]] for each name that stands in the column"
        return
    for what, found in (
        ("name", [each.name.casefold() for each in job.profiles]),  # some disks do not tell capitals
        ("key_env and id", [(each.key_env, each.id and each.id.lower()) for each in job.profiles]),
    ):
        if len(set(found)) < len(found):
            yield "profiles", f"two of them have the same {what}"
    if any(each.id is None and each.key_env is None for each in job.profiles):
        yield "profiles", "each needs the id of a profile of the organization, or a key_env with a key of its own"
    if job.api.version != "v3":
        yield "profiles", 'version "v1" of the API has none'


def _of_contacts(job: Job) -> Iterator[tuple[str, str]]:
    if job.api.version != "v3":
        yield "api.version", 'contacts are created by version "v3" of the API only'
    if job.recipients.channel is not None:
        yield "recipients.channel", "a contact is created, nobody is messaged: there is no channel to choose"
    if job.recipients.contact_id is not None:
        yield "recipients.contact_id", "a contact gets its id from the API; the manifest has it afterwards"
    for name in _OF_MESSAGES:
        if name in job.limits.model_fields_set and getattr(job.limits, name):
            yield f"limits.{name}", "contacts are created, and no messages are sent; requests_per_minute is the limit"
    if job.schedule.model_fields_set:
        yield "schedule", "contacts are created at once; leave the table out"
    if job.safety.canary:
        yield "safety.canary", "contacts are created, nobody is messaged: there are no receipts to wait for"


def _of_legacy(job: Job) -> Iterator[tuple[str, str]]:
    message = job.message
    if message.template_id is None:
        what = "template_name" if message.template_name is not None else "text"
        yield f"message.{what}", 'version "v1" of the API sends templates by their id only; give template_id'
    if message.channels != (Channel.AUTO,):
        yield "message.channels", 'version "v1" of the API picks the channel itself; leave it out'
    if job.recipients.channel is not None:
        yield "recipients.channel", 'version "v1" of the API picks the channel itself; leave it out'
    if reserved := [name for name in message.parameters if name.startswith(_RESERVED)]:
        yield "message.parameters", f'{", ".join(reserved)}: with version "v1" no name may begin with "{_RESERVED}"'
    if job.schedule.model_fields_set:
        yield "schedule", 'version "v1" of the API sends at once; leave the table out'
    if job.safety.canary:
        yield "safety.canary", 'version "v1" of the API names no messages: nobody could tell what becomes of them'


def _of_v3(job: Job) -> Iterator[tuple[str, str]]:
    if job.recipients.contact_id is not None:
        yield "recipients.contact_id", 'only version "v1" of the API sends to contacts; "v3" sends to numbers'
    if job.safety.canary and job.schedule.is_held:
        yield (
            "safety.canary",
            (
                "the API holds these messages until their send time, and the others would wait as long; leave it "
                'out and look at a staged broadcast first, or use a window with hold = "run"'
            ),
        )
