"""Telling an address how a run ended: one small JSON document by POST, a few tries, and never more than that.

Nothing depends on it: whatever goes wrong is a sentence for people. The address may hold a secret, so only its host is
ever named. Redirects are not followed, and the environment's proxies are not used, as with the API.
"""

import asyncio
import json
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from broadcaster.api.failures import NETWORK_ERRORS, failure
from broadcaster.clock import wall_us
from broadcaster.core.values import Tally
from broadcaster.errors import ExitCode
from broadcaster.job.settings import Secret
from broadcaster.phones import mask_in
from broadcaster.tracking.chronicle import ending
from broadcaster.tracking.signature import signed_headers

VERSION = 1
TIMEOUT_S = 10.0  # for one try
PAUSES_S = (0.0, 1.0, 4.0)  # before each try
_TOO_MANY, _SERVER_ERROR = 429, 500  # statuses: both may pass


def notice(
    *,
    campaign: str,
    mode: str,
    run_dir: Path | str,
    code: ExitCode,
    at: str,
    counts: Tally | None = None,
    why: str | None = None,
) -> dict[str, Any]:
    """Return what is sent.

    Args:
        campaign: of the run.
        mode: of the run.
        run_dir: its directory, or address; its name is told, and the directory as it was given in what to do.
        code: what the command exits with.
        at: when it ended, in ISO format.
        counts: deliveries by status; ``None`` where the journal could not be read.
        why: the sentence of what stopped it.
    """
    what_to_do = _what_to_do(code, counts, shlex.quote(str(run_dir)))
    told: dict[str, Any] = {
        "version": VERSION,
        "event": ending(code),
        "at": at,
        "campaign": campaign,
        "mode": mode,
        "run": Path(run_dir).name,
        "exit_code": int(code),
        "complete": counts is not None and not (counts.pending or counts.in_doubt),
        "deliveries": asdict(counts) if counts is not None else None,
        "why": mask_in(why) if why else None,
        "what_to_do": what_to_do,
    }
    return {"text": _text(told), **told}


def _what_to_do(code: ExitCode, counts: Tally | None, where: str) -> str | None:
    """Return the command that comes next, if any."""
    if counts is not None and counts.in_doubt and not counts.pending:
        return f"broadcaster resolve {where}"
    if code in {ExitCode.STOPPED, ExitCode.HALTED, ExitCode.STORE, ExitCode.REFUSED} or (counts and counts.pending):
        return f"broadcaster resume {where}"
    if code is ExitCode.SOME_REJECTED:
        return f"broadcaster retry-failed {where}"
    return None


def _text(told: Mapping[str, Any]) -> str:
    """Say all of it in one line; chat services show this member and no other."""
    mode = "" if told["mode"] == "live" else f" ({told['mode']})"
    counts = told["deliveries"] or {}
    words = [f"{count:,} {status.replace('_', ' ')}" for status, count in counts.items() if count]
    said = f"Campaign {told['campaign']}{mode} {told['event']}: {', '.join(words) or 'nothing was sent'}."
    if told["why"]:
        said += f" {told['why'].rstrip('.')}."
    return f"{said} To do: {told['what_to_do']}" if told["what_to_do"] else said


async def post(
    url: str,
    told: Mapping[str, Any],
    *,
    secret: Secret | None = None,
    pauses_s: Sequence[float] = PAUSES_S,
    timeout_s: float = TIMEOUT_S,
) -> str | None:
    """Send *told*; return ``None`` when it was taken, else why it was not, for people.

    Args:
        url: https, or http to this machine itself.
        told: a :func:`notice`.
        secret: signs it.
        pauses_s: before each try, the first included.
        timeout_s: for one try.

    Raises:
        ConfigError: the secret is not usable.
    """
    body = json.dumps(told, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "broadcaster"}
    if secret is not None:
        headers |= signed_headers(body, secret=secret, name=f"msg_{uuid.uuid4().hex}", at_s=wall_us() // 1_000_000)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    why, tried = "", 0
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=headers, timeout=timeout) as session:
        for pause_s in pauses_s:
            await asyncio.sleep(pause_s)
            tried += 1
            try:
                async with session.post(URL(url), data=body, allow_redirects=False) as response:
                    status = response.status
            except NETWORK_ERRORS as error:
                why = failure(error).reason.replace("_", " ")  # only the word: the error names the address
                continue
            if status // 100 == 2:  # noqa: PLR2004 - any 2xx
                return None
            why = f"it answered {status}" + (", and redirects are not followed" if status // 100 == 3 else "")  # noqa: PLR2004 - any 3xx
            if status != _TOO_MANY and status < _SERVER_ERROR:
                break
    return f"{URL(url).host} was not told how the run ended: {why}{f'; tried {tried} times' if tried > 1 else ''}"
