"""``doctor``: is everything there that a run needs? Looks, changes nothing, messages nobody.

Every check is told, whatever became of the one before; one that cannot be made because of it is skipped and says so.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from broadcaster.api import lookups
from broadcaster.app.parts import Access, line
from broadcaster.clock import SystemClock
from broadcaster.core.values import Reply
from broadcaster.engine.stop import Stop
from broadcaster.errors import BroadcasterError, ExitCode
from broadcaster.job.model import Job, Limits
from broadcaster.job.settings import load_settings, sender_id
from broadcaster.store.files import disk_errors, write_atomically
from broadcaster.store.rundir import RunDir
from broadcaster.store.spend import Spend, spend_path

TIMEOUT_S = 20.0  # for one look-up
_SCARCE = 1 << 30  # bytes: a run of a million deliveries takes about half of it
_ASTRAY_S = 5.0  # what the clocks of machines that are kept in time never show; the API's own counts whole seconds
_FAR_ASTRAY_S = 60.0  # send times must be a minute ahead, and webhooks are refused after five


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found; *code* is what a run would end with because of it."""

    check: str
    state: State
    sentence: str
    code: ExitCode = ExitCode.DONE


def check_settings(environ: Mapping[str, str], *, legacy: bool = False) -> Finding:
    """Look at key, address and profile as the environment has them; *legacy* as the API's first version wants them."""
    try:
        settings = load_settings(environ)
        if legacy:
            sender_id(environ)
    except BroadcasterError as error:
        return _failed("key", error)
    profile = f", profile {settings.profile_id}" if settings.profile_id else ""
    return Finding(check="key", state=State.OK, sentence=f"there is one, for {settings.base_url}{profile}")


def check_disk(runs: Path) -> Finding:
    """Look whether runs can be kept below *runs*: local, writable, durable, with room; and the account's spend."""
    place = runs
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with disk_errors(place), tempfile.TemporaryDirectory(dir=place, prefix=".doctor-") as scratch:
            RunDir(Path(scratch)).require_local()
            write_atomically(Path(scratch, "file"), b"durable")
            free = shutil.disk_usage(scratch).free
        with disk_errors(spend_path()), closing(Spend(spend_path(), address="doctor", clock=SystemClock())) as spend:
            spend.spent()
    except BroadcasterError as error:
        return _failed("disk", error)
    room = f"{place.resolve()} is local and can be written, with {free / (1 << 30):,.1f} GB free"
    if free < _SCARCE:
        return Finding(check="disk", state=State.WARNING, sentence=f"{room}: that is little")
    return Finding(check="disk", state=State.OK, sentence=room)


def check_clock(reply: Reply) -> Finding:
    """Compare this machine's clock with the API's, by an answer of it."""
    if reply.server_us is None:
        return Finding(check="clock", state=State.SKIPPED, sentence="the API does not tell its time")
    # The API tells the second in which it answered; whatever lies between the two ends of the exchange is right.
    early_s = (reply.started.wall_us - reply.server_us) / 1_000_000 - 1
    late_s = (reply.server_us - reply.ended.wall_us) / 1_000_000
    astray_s = max(early_s, late_s, 0.0)
    if astray_s < _ASTRAY_S:
        return Finding(check="clock", state=State.OK, sentence="it shows the API's time")
    sentence = (
        f"this machine's clock is {astray_s:,.0f} s {'ahead of' if early_s > late_s else 'behind'} the API's: send "
        "times, and how long a request may be repeated, depend on it. Let it be set by NTP"
    )
    if astray_s < _FAR_ASTRAY_S:
        return Finding(check="clock", state=State.WARNING, sentence=sentence)
    return Finding(check="clock", state=State.FAILED, sentence=sentence, code=ExitCode.USAGE)


async def check_api(to: Access, job: Job | None) -> AsyncIterator[Finding]:
    """Ask the API whose key it is, what time it is there, and whether the message of *job* can be sent.

    The look-ups count towards the account's limit, as all requests do.
    """
    opened = line(
        to,
        limits=Limits() if job is None else job.limits,
        timeout_s=TIMEOUT_S,
        largest=1,
        clock=SystemClock(),
        stop=Stop(),
        observe=lambda _event: None,
    )
    async with opened as api_line:
        if to.account is not None:
            yield Finding(check="account", state=State.SKIPPED, sentence="the API's first version does not tell")
            return
        try:
            who = await lookups.me(api_line.ask)
        except BroadcasterError as error:
            yield _failed("account", error)
            yield Finding(check="clock", state=State.SKIPPED, sentence="nobody to compare it with")
            if job is not None:
                yield Finding(check="template", state=State.SKIPPED, sentence="nobody to ask")
            return
        api_line.belongs_to(who.id)
        limit = api_line.pacer.limit
        pace = (
            f"; {limit.requests_per_minute:,} requests a minute ({limit.source})" if limit.requests_per_minute else ""
        )
        kind = f" ({who.type})" if who.type else ""
        yield Finding(check="account", state=State.OK, sentence=f"{who.name or who.id}{kind}{pace}")
        yield check_clock(who.reply)
        if job is None:
            yield Finding(check="template", state=State.SKIPPED, sentence="name a job to look at its template")
            return
        message = job.message
        if not (message.template_id or message.template_name):
            yield Finding(check="template", state=State.SKIPPED, sentence="the job has none")
            return
        try:
            template = await lookups.template(api_line.ask, id=message.template_id, name=message.template_name)
        except BroadcasterError as error:
            yield _failed("template", error)
            return
        problems = lookups.template_problems(template, channels=message.channels, parameters=set(message.parameters))
        if problems:
            sentence = " ".join(problems)
            yield Finding(check="template", state=State.FAILED, sentence=sentence, code=ExitCode.USAGE)
            return
        yield Finding(check="template", state=State.OK, sentence=f"{template.name or template.id} can be sent")


def _failed(check: str, error: BroadcasterError) -> Finding:
    return Finding(check=check, state=State.FAILED, sentence=error.sentence, code=error.exit_code)
