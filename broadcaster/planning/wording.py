"""From a job to the wording of a part: what its requests are, and how large one may be.

It looks at the job alone; the list is not known here.
"""

from broadcaster.core.sizes import largest_batch, utf16_length
from broadcaster.core.values import Message, Scope
from broadcaster.core.words import Channel, Mode
from broadcaster.errors import ConfigError
from broadcaster.job.model import Job
from broadcaster.operations import OPERATIONS, operation_key
from broadcaster.planning.opening import parameters_of
from broadcaster.planning.pipeline import Wording

_FIRST_GENERATION = "0"


def operation_of(job: Job) -> tuple[str, str]:
    """Return the key of the operation that *job* is a list of."""
    by_contact = job.recipients.contact_id is not None
    return operation_key(kind=job.kind, version=job.api.version, by_contact=by_contact)


def wording_of(job: Job, *, campaign: str, mode: Mode, profile: str | None) -> Wording:
    """Return what every batch of a part planned from *job* says.

    Raises:
        ConfigError: mode, profile or limits do not go together with what is sent.
    """
    operation = OPERATIONS[operation_of(job)]
    if mode is Mode.SANDBOX and not operation.has_sandbox:
        raise ConfigError('version "v1" of the API has no sandbox; --simulate sends to nobody')
    if profile and operation.is_legacy:
        raise ConfigError('version "v1" of the API has no profiles: unset SENT_PROFILE_ID')
    message = job.message
    body_length = max(message.body_length, utf16_length(message.text or ""))

    def largest(channels: tuple[Channel, ...]) -> int:
        """Return how many recipients a batch on *channels* may have."""
        if job.limits.messages_per_minute and len(channels) > job.limits.messages_per_minute:
            raise ConfigError(
                f"limits.messages_per_minute is {job.limits.messages_per_minute}, but one recipient on "
                f"{len(channels)} channels is {len(channels)} messages"
            )
        return largest_batch(
            batch_size=job.limits.batch_size,
            channels=len(channels),
            auto=channels == (Channel.AUTO,),
            body_length=body_length,
            messages_per_minute=job.limits.messages_per_minute,
            hard_limit=operation.largest_batch,
        )

    return Wording(
        message=Message(
            template_id=message.template_id,
            template_name=message.template_name,
            text=message.text,
            scope=Scope(
                campaign=campaign,
                generation=_FIRST_GENERATION,
                mode=mode,
                profile=profile,
                method=operation.method,
                path=operation.path,
            ),
        ),
        parameters=parameters_of(job),
        channels=tuple(message.channels),
        operation=operation,
        largest_batch=largest,
        canary=job.safety.canary,
    )
