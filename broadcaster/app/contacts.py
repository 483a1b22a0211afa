"""``contacts export``: all contacts of the account, page by page, into one file.

Theory of operation. The API counts pages, so that whoever is added or removed meanwhile moves everybody behind them:
somebody may be shown twice, and somebody not at all. Ids are therefore remembered, and a contact is written once; when
fewer were seen than there are, the list is read again for those who are missing, a few times.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from broadcaster.api import lookups
from broadcaster.api.contacts import Contact, contacts
from broadcaster.app.parts import Access, line
from broadcaster.clock import SystemClock
from broadcaster.core.sizes import duration_s
from broadcaster.engine.ports import Observe
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import ConfigError, StoppedEarly
from broadcaster.job.model import Api, Limits
from broadcaster.store.contactfile import CSV, PARQUET, contact_file

_PASSES = 3  # over the list, while somebody is missing
_AT_ONCE = 5000  # contacts of a row group


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an export has come. ``total`` is what the API says now; ``left_s`` the time at the limit in force."""

    seen: int
    total: int | None
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written; ``missing`` were counted by the API and never shown."""

    written: int
    opted_out: int
    missing: int


def require_known_ending(path: Path) -> None:
    """Refuse a file of another kind than those that are written.

    Raises:
        ConfigError: naming the endings.
    """
    if path.suffix.lower() not in PARQUET | CSV:
        raise ConfigError(f"--out {path}: the name has to end in {', '.join(sorted(PARQUET | CSV))}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {path}: there is no directory {path.parent}")


async def export(
    to: Access,
    *,
    path: Path,
    only_opted_out: bool,
    requests_per_minute: int | None,
    observe: Observe,
    progress: Callable[[Progress], None],
) -> Exported:
    """Write the account's contacts to *path*.

    Args:
        to: the API.
        path: replaced when everything was read, and untouched otherwise.
        only_opted_out: leave out everybody who has not opted out.
        requests_per_minute: the pace; ``None`` for the usual one.
        observe: hears of waits.
        progress: hears of every page.

    Raises:
        AccountRefused, Unreachable, RequestRefused, ContractBroken: as the API answers.
        StoppedEarly: by a signal.
        StoreError: when the disk refuses.
    """
    asked = {} if requests_per_minute is None else {"requests_per_minute": requests_per_minute}
    stop = Stop()
    opened = line(
        to,
        limits=Limits.model_validate(asked),
        timeout_s=Api().timeout,
        largest=1,
        clock=SystemClock(),
        stop=stop,
        observe=observe,
    )
    with on_signals(stop), contact_file(path) as write:
        async with opened as api_line:
            api_line.belongs_to((await lookups.me(api_line.ask)).id)
            seen: set[str] = set()
            waiting: list[Contact] = []
            written = opted_out = 0
            total: int | None = None

            def flush() -> None:
                nonlocal written
                if waiting:
                    write([asdict(each) for each in waiting])
                    written += len(waiting)
                    waiting.clear()

            for _ in range(_PASSES):
                number, more = 0, True
                while more:
                    number += 1
                    if stop.draining:
                        raise StoppedEarly(
                            f"stopped on page {number}; {path} is as it was. Start it again to have it all"
                        )
                    page = await contacts(api_line.ask, page=number)
                    more, total = page.has_more, page.total
                    fresh = {each.contact_id: each for each in page.contacts if each.contact_id not in seen}
                    seen |= fresh.keys()
                    opted_out += sum(1 for each in fresh.values() if each.opt_out)
                    waiting += [each for each in fresh.values() if each.opt_out or not only_opted_out]
                    if len(waiting) >= _AT_ONCE:
                        flush()
                    left = max(0, (page.pages or number) - number)
                    per_minute = api_line.pacer.limit.requests_per_minute or 0
                    left_s = duration_s(left, 0, requests_per_minute=per_minute, messages_per_minute=0)
                    progress(Progress(seen=len(seen), total=total, left_s=left_s))
                if len(seen) >= (total or 0):
                    break
            flush()
    return Exported(written=written, opted_out=opted_out, missing=max(0, (total or 0) - len(seen)))
