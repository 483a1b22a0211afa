"""The head of a part of a plan, ``plan.json``: all that ``resume`` needs besides the tables and the key."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from broadcaster.core.keys import FORMAT
from broadcaster.core.values import Message, Scope
from broadcaster.core.words import Channel, Mode, Status
from broadcaster.errors import BelongsToAnother, StoreDamaged
from broadcaster.operations import OPERATIONS
from broadcaster.operations.model import Operation
from broadcaster.store.files import write_atomically
from broadcaster.store.rundir import RunDir

VERSION = 1
RETRY = "retry"  # the kind of a part


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile:
    """A list file as it was read."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What ``plan.json`` says about a part; ``resume`` needs nothing else but the key.

    Attributes:
        identity: what makes the job this job (message, columns, suppression …); another job differs in it.
        keys_sha256: digest of all idempotency keys in order: equal plans on two machines agree in it.
        batch_size: the largest batch that the planner allowed itself.
        channels: the job's; where the list names others, *by_channels* counts the recipients of each combination.
        excluded_deliveries: rows of the manifest that are excluded, one for each channel they asked for.
        largest_request: messages of the largest batch.
        replaced: of a retry, the deliveries whose word it replaces, by their status then; ``None``: all were rejected.
            What it has beyond these was sent on a channel that its row did not have.
        undelivered: deliveries that a retry has because of their receipts; its ``plan-N.parquet`` names them.
        day: the logical date, as in ``2026-12-01``; it is there when the campaign has ``{date}``, or when send times
            follow from it.
        schedule: what the job says of times; empty where it says nothing.
        times: recipients by send time, in order of time; *zones*: by time zone, where that decides about the time.
        groups: recipients by the column that they are grouped by, in the order of sending, where there is one.
        canary: recipients of the first *canary_batches* of the part, which decide whether its others are sent.
    """

    version: int = VERSION
    format: str
    part: int
    kind: str
    campaign: str
    campaign_template: str
    generation: str
    mode: str
    profile: str | None
    operation: tuple[str, str]
    template_id: str | None
    template_name: str | None
    text: str | None
    parameters: dict[str, str]
    channels: tuple[str, ...]
    identity: dict[str, Any]
    limits: dict[str, Any]
    safety: dict[str, Any]
    api: dict[str, Any]
    lists: tuple[ListFile, ...]
    rows: int
    excluded: dict[str, int]
    recipients: int
    deliveries: int
    batches: int
    largest_batch: int
    first_row: int
    first_batch: int
    keys_sha256: str
    sha256: dict[str, str]
    previous: str | None
    code: str
    planned_us: int
    # Plans that were frozen before rows could have channels of their own say nothing of these.
    by_channels: dict[str, int] = field(default_factory=dict)
    excluded_deliveries: int | None = None
    largest_request: int | None = None
    # For people: where the recipients are, on what kind of line as many of them as were looked at, and in which file of
    # the list a row stands. ``body_length`` is the longest rendered text in UTF-16 units.
    countries: dict[str, int] = field(default_factory=dict)
    line_types: dict[str, int] = field(default_factory=dict)
    line_types_of: int = 0
    rows_by_file: tuple[int, ...] = ()
    body_length: int = 0
    day: str | None = None  # what {date} in the campaign stands for
    replaced: dict[str, int] | None = None
    undelivered: int = 0
    schedule: dict[str, Any] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    zones: dict[str, int] = field(default_factory=dict)
    canary: int = 0
    canary_batches: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    notify: dict[str, Any] = field(default_factory=dict, repr=False)  # holds an address, perhaps with a secret

    @property
    def is_retry(self) -> bool:
        """Whether the part sends to rows of earlier parts again, and brings none of its own."""
        return self.kind == RETRY

    @property
    def replaces(self) -> dict[str, int]:
        """The deliveries whose word a retry replaces, by their status before it."""
        if not self.is_retry:
            return {}
        return {str(Status.REJECTED): self.deliveries} if self.replaced is None else self.replaced

    @property
    def added(self) -> int:
        """Deliveries that a retry sends on a channel that its rows did not have."""
        return self.deliveries - sum(self.replaces.values()) if self.is_retry else 0

    @property
    def all_channels(self) -> tuple[Channel, ...]:
        """Every channel that anybody is messaged on."""
        used = {
            channel for written in self.by_channels or ["+".join(self.channels)] for channel in parse_channels(written)
        }
        return tuple(channel for channel in Channel if channel in used)

    @property
    def excluded_in_manifest(self) -> int:
        """Rows of the manifest that are excluded."""
        if self.excluded_deliveries is not None:
            return self.excluded_deliveries
        return sum(self.excluded.values()) * len(self.channels)

    @property
    def heaviest(self) -> int:
        """Messages of the largest request."""
        return self.largest_batch * len(self.channels) if self.largest_request is None else self.largest_request

    @property
    def message(self) -> Message:
        """What all batches of the part share."""
        return Message(template_id=self.template_id, template_name=self.template_name, text=self.text, scope=self.scope)

    @property
    def scope(self) -> Scope:
        """What the keys of the part belong to."""
        return Scope(
            campaign=self.campaign,
            generation=self.generation,
            mode=Mode(self.mode),
            profile=self.profile,
            method=self.asked.method,
            path=self.asked.path,
        )

    @property
    def asked(self) -> Operation:
        """What the part asks the API for."""
        return OPERATIONS[self.operation]

    def to_json(self) -> bytes:
        """Return the content of ``plan.json``, with a checksum of all that it says."""
        words = asdict(self)
        return json.dumps({**words, "checksum": _checksum(words)}, ensure_ascii=False, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, *, path: Path) -> "Head":
        """Read ``plan.json``; raise when it is damaged or of another version."""
        try:
            words = json.loads(content)
            if words["version"] != VERSION:
                raise BelongsToAnother(f"{path}: plan format {words['version']} is not the one this version reads")
            if words["format"] != FORMAT:
                raise BelongsToAnother(
                    f"{path}: its requests have the form {words['format']!r}, which this version cannot write; finish "
                    "with the version that planned it"
                )
            stated = words.pop("checksum", None)  # a plan that was frozen before there were checksums has none
            if stated not in {None, _checksum(words)}:
                raise StoreDamaged(f"{path}: the plan is not as it was frozen; restore it from a copy")
            known = {each.name for each in fields(cls)}
            head = cls(**{name: value for name, value in words.items() if name in known})
            return replace(
                head,
                operation=tuple(head.operation),  # type: ignore[arg-type]  # two words, written by to_json
                channels=tuple(head.channels),
                rows_by_file=tuple(head.rows_by_file),
                lists=tuple(ListFile(**each) for each in words["lists"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(f"{path}: the plan cannot be read ({error}); restore it from a copy") from error


def parse_channels(written: str) -> tuple[Channel, ...]:
    """Read ``sms+whatsapp``."""
    return tuple(Channel(word) for word in written.split("+"))


def _checksum(words: dict[str, Any]) -> str:
    """Return the digest of what a head says, however it is laid out."""
    return hashlib.sha256(json.dumps(words, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def write_head(run_dir: RunDir, head: Head) -> None:
    """Freeze a part: from here on it exists."""
    write_atomically(run_dir.head(head.part), head.to_json())
