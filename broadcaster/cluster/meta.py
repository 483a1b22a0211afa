"""What a shared run is: its plan, the number of its shards, and whose it is."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from broadcaster.cluster.storage import Storage
from broadcaster.errors import BelongsToAnother, ConfigError, StoreDamaged
from broadcaster.store.plan import Plan

META = "meta.json"
ACCOUNT = "account.json"
_JOURNAL = "journal.sqlite"  # of a run that one process sends


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """A shared run.

    Attributes:
        run: a word that no other run has.
        mode: live, sandbox or simulated.
        plan: digest of the plan as it was published.
        keys: digest of all its idempotency keys.
        shards: how many there are.
        more: what whoever published it wanted to be remembered.
    """

    run: str
    mode: str
    plan: str
    keys: str
    shards: int
    more: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose a shared run is: the account's fingerprint, and the address of the API."""

    account: str
    base_url: str


def write_meta(storage: Storage, plan: Plan, *, shards: int, more: Mapping[str, str]) -> Meta:
    """Say what the run is, once and for all; return what was said first.

    Raises:
        BelongsToAnother: it was said before, of another plan or with another number of shards; or one process has begun
            to send it: its journal knows whom it messaged, and shards would not.
    """
    require_kept(storage, META)
    if storage.exists(_JOURNAL) and not storage.exists(META):
        raise BelongsToAnother(
            f"{storage.name} was begun by one process, and cannot be sent in shards any more; go on with 'broadcaster "
            "resume' where it was begun"
        )
    meta = Meta(
        run=uuid.uuid4().hex,
        mode=plan.head.mode,
        plan=plan.fingerprint,
        keys=plan.keys_sha256,
        shards=shards,
        more=dict(more),
    )
    if storage.create(META, json.dumps(asdict(meta), indent=1).encode()):
        return meta
    known = read_meta(storage)
    if (known.plan, known.shards) != (meta.plan, meta.shards):
        raise BelongsToAnother(
            f"{storage.name} holds another plan than this, or the same in {known.shards} shards instead of {shards}; "
            "go on with it, or choose another address"
        )
    return known


def read_meta(storage: Storage) -> Meta:
    """Return what a shared run is.

    Raises:
        ConfigError: none is there.
        StoreDamaged: it cannot be read.
    """
    content = storage.read(META)
    if content is None:
        raise ConfigError(
            f"{storage.name} holds no shared run; put one there: broadcaster plan JOB.toml --run-dir {storage.name}"
        )
    try:
        return Meta(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"{storage.name}/{META} cannot be read ({error}); restore it from a copy") from error


def require_kept(storage: Storage, name: str) -> None:
    """Raise :class:`StoreDamaged` where shards were begun, and what was said before the first of them is gone."""
    begun = not storage.exists(name) and storage.names("shards")
    if begun and not storage.exists(name):  # else somebody has begun at this moment
        raise StoreDamaged(
            f"{storage.name}/{name} is missing, though shards were begun; restore it from a copy, nothing is sent "
            "without it"
        )


def write_whose(storage: Storage, whose: Whose) -> None:
    """Say whose the run is; whoever starts first says it for all.

    Raises:
        BelongsToAnother: somebody started with another account, or at another address of the API.
    """
    require_kept(storage, ACCOUNT)
    if storage.create(ACCOUNT, json.dumps(asdict(whose)).encode()):
        return
    if read_whose(storage) != whose:
        raise BelongsToAnother(
            f"{storage.name} was sent with another account or from another address than this key's; the API would not "
            "recognise what was sent already. Use the key of that account"
        )


def read_whose(storage: Storage) -> Whose | None:
    """Return whose the run is, ``None`` when nobody has started it yet."""
    content = storage.read(ACCOUNT)
    if content is None:
        return None
    try:
        return Whose(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"{storage.name}/{ACCOUNT} cannot be read ({error}); restore it from a copy") from error
