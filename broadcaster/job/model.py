"""The job file as frozen values: every key it may have, its default, and what is allowed.

The TOML file has exactly this shape. Keys of things that are not built yet are reserved, and refused when they are
used. A field's description is the end of the sentence that a wrong value is answered with.

It must not know files: :mod:`broadcaster.job.load` reads them and words the mistakes.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator

from broadcaster.core.words import Channel
from broadcaster.job.fields import (
    Campaign,
    Channels,
    Column,
    Delimiter,
    Duration,
    Encoding,
    NotifyUrl,
    PathList,
    Paths,
    Region,
    Template,
    Text,
    Timezone,
    Uuid,
    choice,
    later,
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
    timezone: Annotated[Column | None, later(None)] = None
    opt_out: Column | None = None
    suppress: PathList = ()
    filter: Annotated[str, Field(strict=True, description="text"), later("")] = ""
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


class Schedule(_Table):
    """When: reserved, every key of it."""

    send_at: Annotated[Any, later(None)] = None
    send_at_local: Annotated[Any, later(None)] = None
    unknown_zone: Annotated[Any, later("exclude")] = "exclude"
    window: Annotated[Any, later("")] = ""
    not_after: Annotated[Any, later(None)] = None
    staged: Annotated[Any, later(default=False)] = False


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

    version: Annotated[Literal["v3", "v1"], choice("v3", "v1"), later("v3")] = "v3"
    idempotency_window: Duration = 86_400.0
    timeout: Duration = 60.0


class Notify(_Table):
    """Whom to tell how a run ended; the address may hold a secret and is shown nowhere."""

    url: NotifyUrl = ""


class Job(_Table):
    """A whole job. Durations are seconds; paths are as written, :meth:`resolve` says where they lead."""

    campaign: Campaign
    kind: Annotated[Literal["message", "contacts"], choice("message", "contacts"), later("message")] = "message"
    timezone: Timezone = "UTC"
    recipients: Recipients
    message: MessageTable
    schedule: Schedule = Schedule()
    limits: Limits = Limits()
    safety: Safety = Safety()
    api: Api = Api()
    notify: Notify = Notify()

    _base: Path = PrivateAttr(default=Path())

    def model_post_init(self, context: Any, /) -> None:
        """Take the base from pydantic's context, so that the file cannot have a key of that name."""
        if context:
            self._base = context["base"]

    @property
    def base(self) -> Path:
        """Where relative paths start: the job file's directory. No part of the job's dump."""
        return self._base

    def resolve(self, path: str | Path) -> Path:
        """Return where a path of this job leads."""
        return self._base / path
