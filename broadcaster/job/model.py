"""The job file as frozen values: every key it may have, its default, and what is allowed.

The TOML file has exactly this shape. A field's description is the end of the sentence that a wrong value is answered
with.

It must not know files: :mod:`broadcaster.job.load` reads them and words the mistakes.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from broadcaster.core.words import Channel
from broadcaster.core.zones import parse_instant
from broadcaster.job.fields import (
    Campaign,
    Channels,
    Column,
    Delimiter,
    Duration,
    Encoding,
    LocalTime,
    Moment,
    NotifyUrl,
    PathList,
    Paths,
    ProfileName,
    Region,
    Template,
    Text,
    Timezone,
    UnknownZone,
    Uuid,
    Variable,
    WindowText,
    choice,
    refuse,
    refuse_table,
    share,
    whole,
)

_BRACED = re.compile(r"\{[^{}]*\}")


class _Table(BaseModel):
    """A table of the job file: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


class Recipients(_Table):
    """Who: the list and which of its columns is what."""

    file: Paths
    phone: Column | None = None
    id: Column | None = None
    default_region: Region | None = None
    region: Column | None = None
    channel: Column | None = None
    timezone: Column | None = None
    opt_out: Column | None = None
    contact_id: Column | None = None
    suppress: PathList = ()
    filter: Annotated[str, Field(strict=True, description='an expression such as region == "TX"')] = ""
    group_by: Column | None = None
    profile: Column | None = None
    sheet: Text | None = None
    encoding: Encoding | None = None
    delimiter: Delimiter | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The list's files and globs, as written."""
        return (self.file,) if isinstance(self.file, str) else self.file


class MessageTable(_Table):
    """What: a template with its parameters, or one text for everybody; and on which channels.

    ``channels`` is never empty: ``(Channel.AUTO,)`` when the API picks.
    """

    template_id: Uuid | None = None
    template_name: Text | None = None
    # The rules below look at the keys above them: pydantic checks in this order, and all mistakes are told at once.
    text: Text | None = Field(default=None, validate_default=True)
    channels: Channels = (Channel.AUTO,)
    parameters: dict[Text, Template] = Field(
        default_factory=dict, description='a table such as { name = "{first_name}" }'
    )
    body_length: Annotated[int, whole(1, 10_000)] = 320

    @field_validator("text")
    @classmethod
    def _exactly_one(cls, text: str | None, known: ValidationInfo) -> str | None:
        # A key that failed its own check is missing in known.data: it was given all the same.
        ids = [name for name in ("template_id", "template_name") if known.data.get(name, "failed") is not None]
        given = ids + ["text"] * (text is not None)
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none"
            raise refuse_table(f"exactly one of template_id, template_name, text is needed; {found}")
        if text is not None and _BRACED.search(text):
            raise refuse("text is the same for everybody and has no {column}; use a template with parameters")
        return text

    @field_validator("parameters")
    @classmethod
    def _with_a_template(cls, parameters: dict[str, str], known: ValidationInfo) -> dict[str, str]:
        if parameters and known.data.get("text") is not None:
            raise refuse("parameters belong to a template; text has none")
        return parameters


NO_MESSAGE = MessageTable.model_construct()
"""What a job says that messages nobody."""


class Schedule(_Table):
    """When. Nothing of it: at once.

    ``window`` holds in each recipient's own time, and the API holds what has to wait; with ``hold = "run"`` in the
    job's ``timezone``, and the run waits.
    """

    send_at: Moment | None = None
    send_at_local: LocalTime | None = None
    unknown_zone: UnknownZone = "exclude"
    window: WindowText = ""
    hold: Annotated[Literal["api", "run"], choice("api", "run")] = "api"
    not_after: Moment | None = None
    staged: Annotated[bool, Field(strict=True, description="true or false")] = False

    @field_validator("send_at_local")
    @classmethod
    def _one_time(cls, send_at_local: str | None, known: ValidationInfo) -> str | None:
        if send_at_local is not None and known.data.get("send_at", "failed") is not None:
            raise refuse("stands beside send_at; one of them says when")
        return send_at_local

    @field_validator("hold")
    @classmethod
    def _nothing_to_hold(cls, hold: str, known: ValidationInfo) -> str:
        if hold == "run" and any(known.data.get(name) is not None for name in ("send_at", "send_at_local")):
            raise refuse('"run" is for a window without a send time: messages with one are held by the API')
        if hold == "run" and not known.data.get("window", "failed"):
            raise refuse('"run" needs a window: it says in which hours the run may send')
        return hold

    @field_validator("not_after")
    @classmethod
    def _after_it(cls, not_after: str | None, known: ValidationInfo) -> str | None:
        moments = [parse_instant(text) for text in (known.data.get("send_at"), not_after) if text is not None]
        if len(moments) > 1 and moments[0] is not None and moments[1] is not None and moments[1] < moments[0]:
            raise refuse("is before send_at: nothing could ever be sent")
        return not_after

    @field_validator("staged")
    @classmethod
    def _with_a_time(cls, staged: bool, known: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's own signature
        if staged and all(known.data.get(name, "failed") is None for name in ("send_at", "send_at_local")):
            raise refuse("needs send_at or send_at_local: everything is handed over before that, to be checked")
        return staged

    @property
    def is_used(self) -> bool:
        """Whether it says anything about when to send."""
        return bool(self.send_at or self.send_at_local or self.window or self.not_after)

    @property
    def is_held(self) -> bool:
        """Whether messages are handed over with a time to release them at."""
        return bool(self.send_at or self.send_at_local or self.window) and self.hold != "run"


class Limits(_Table):
    """How fast and how much; 0 is "no limit" for rates and ``max_messages``."""

    requests_per_minute: Annotated[int, whole(0, 100_000)] = 200
    messages_per_minute: Annotated[int, whole(0, 10_000_000)] = 0
    batch_size: Annotated[int, whole(1, 1000)] = 1000  # the API's own limit
    concurrency: Annotated[int, whole(1, 256)] = 8
    max_messages: Annotated[int, whole(0)] = 0
    price_per_message: Annotated[float, share(0)] | None = None
    max_cost: Annotated[float, share(0)] | None = None

    @field_validator("max_cost")
    @classmethod
    def _with_a_price(cls, max_cost: float | None, known: ValidationInfo) -> float | None:
        if max_cost is not None and known.data.get("price_per_message", 0) is None:
            raise refuse("needs price_per_message beside it: the API tells no price before sending")
        return max_cost


class Safety(_Table):
    """When to stop. ``on_5xx``: what 500, 502 and 504, which may hide a success, lead to.

    ``canary`` is part of the plan: so many recipients are messaged first, and their receipts, for which ``canary_wait``
    is the patience, decide about the others.
    """

    canary: Annotated[int, whole(0, 1000)] = 0  # more than one largest request is no canary any more
    canary_wait: Duration = 600.0
    halt_count: Annotated[int, whole(0)] = 10
    halt_share: Annotated[float, share(0, 1)] = 0.10
    give_up_after: Duration = 1800.0
    on_5xx: Annotated[Literal["retry", "hold"], choice("retry", "hold")] = "retry"


class Api(_Table):
    """How to speak with the API. ``idempotency_window`` is how long it remembers a key."""

    version: Annotated[Literal["v3", "v1"], choice("v3", "v1")] = "v3"
    idempotency_window: Duration = 86_400.0
    timeout: Duration = 60.0


class Notify(_Table):
    """Whom to tell how a run ended; the address may hold a secret and is shown nowhere."""

    url: NotifyUrl = ""


class ProfileTable(_Table):
    """Somebody for whom a job is sent: a profile of an organization, or an account with a key, and a limit, of its own.

    ``key_env`` names the variable of the environment that holds the key; ``NAME_FILE`` may name a file instead.
    """

    name: ProfileName
    id: Uuid | None = None
    key_env: Variable | None = None
    requests_per_minute: Annotated[int, whole(0, 100_000)] | None = None
    messages_per_minute: Annotated[int, whole(0, 10_000_000)] | None = None

    @field_validator("requests_per_minute", "messages_per_minute")
    @classmethod
    def _of_its_own(cls, limit: int | None, known: ValidationInfo) -> int | None:
        if limit is not None and known.data.get("key_env", "failed") is None:
            raise refuse("is for a profile with a key_env: those that share an organization's key share its limit")
        return limit


class Job(_Table):
    """A whole job. Durations are seconds; paths are as written, :meth:`resolve` says where they lead."""

    campaign: Campaign
    kind: Annotated[Literal["message", "contacts"], choice("message", "contacts")] = "message"
    timezone: Timezone = "UTC"
    recipients: Recipients
    message: MessageTable = Field(default=NO_MESSAGE, validate_default=True)
    schedule: Schedule = Schedule()
    limits: Limits = Limits()
    safety: Safety = Safety()
    api: Api = Api()
    notify: Notify = Notify()
    profiles: tuple[ProfileTable, ...] = ()

    _base: Path = PrivateAttr(default=Path())

    @field_validator("message", mode="wrap")
    @classmethod
    def _with_its_kind(cls, given: Any, check: Callable[[Any], MessageTable], known: ValidationInfo) -> MessageTable:
        """Require the table of a message and refuse it where nobody is messaged."""
        contacts = known.data.get("kind") == "contacts"
        if given == NO_MESSAGE:  # pydantic hands in a copy
            if contacts:
                return NO_MESSAGE
            raise PydanticCustomError("missing", "missing")
        if contacts:
            raise refuse("contacts are created, and nobody is messaged; leave the table out")
        return check(given)

    def model_post_init(self, context: Any, /) -> None:
        """Take the base from pydantic's context, so that the file cannot have a key of that name."""
        if context:
            self._base = context["base"]

    @property
    def profile_column(self) -> str | None:
        """The column that says whom a row is sent for, where that is not the same for all."""
        return (self.recipients.profile or "profile") if self.profiles else None

    @property
    def base(self) -> Path:
        """Where relative paths start: the job file's directory. No part of the job's dump."""
        return self._base

    def resolve(self, path: str | Path) -> Path:
        """Return where a path of this job leads."""
        return self._base / path
