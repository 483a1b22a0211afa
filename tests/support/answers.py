"""What an API may answer, for scripts: each is a function of the request and of a clock."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

from broadcaster.clock import Clock
from broadcaster.core.values import Instant, Lost, Reply, Request, Unsent

Result = Reply | Lost | Unsent
Answer = Callable[[Request, Clock], Result]


def accepts(
    *, without: Sequence[int] = (), instead: Mapping[int, str] | None = None, replayed: str = "", padding: int = 0
) -> Answer:
    """Answer 202. *without* and *instead* go by position in the request: no entry, or another number's entry."""

    def answer(request: Request, clock: Clock) -> Reply:
        asked = json.loads(request.body)
        rows = [
            {"message_id": f"m-{to}-{channel}", "to": (instead or {}).get(position, to), "channel": channel}
            for position, to in enumerate(asked["to"])
            for channel in asked.get("channel", ["sms"])
            if position not in without
        ]
        body = {"success": True, "data": {"recipients": rows, "body": "x" * padding}, "meta": {"request_id": "req-1"}}
        headers = {"idempotent-replayed": "true", "x-original-request-id": replayed} if replayed else {}
        return _reply(202, body, clock, headers)

    return answer


def refuses(status: int, code: str = "", *, to: Sequence[int] = (), retry_after_s: int | None = None) -> Answer:
    """Answer an error; *to* are the positions that it names."""

    def answer(request: Request, clock: Clock) -> Reply:
        del request
        details = {f"to[{position}]": ["is not valid"] for position in to}
        error = {"code": code, "message": "No.", "details": details}
        headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
        return _reply(status, {"success": False, "error": error} if code else None, clock, headers)

    return answer


def says(status: int, body: bytes) -> Answer:
    """Answer exactly this."""

    def answer(request: Request, clock: Clock) -> Reply:
        del request
        return replace(_reply(status, None, clock, {}), body=body)

    return answer


def lost(request: Request, clock: Clock) -> Lost:
    """The connection ends without an answer."""
    del request
    return Lost(reason="the connection was reset", started=_now(clock), ended=_now(clock))


def unsent(request: Request, clock: Clock) -> Unsent:
    """Nobody listens."""
    del request
    return Unsent(reason="connection refused", started=_now(clock), ended=_now(clock))


def raises(error: Exception) -> Answer:
    """Break: what no sender does, unless it has a bug."""

    def answer(request: Request, clock: Clock) -> Result:
        del request, clock
        raise error

    return answer


def _reply(status: int, body: object, clock: Clock, headers: Mapping[str, str]) -> Reply:
    date = format_datetime(datetime.fromtimestamp(clock.reading()[0] // 1_000_000, tz=UTC), usegmt=True)
    return Reply(
        status=status,
        headers={"date": date, **headers},
        body=b"" if body is None else json.dumps(body).encode(),
        started=_now(clock),
        ended=_now(clock),
    )


def _now(clock: Clock) -> Instant:
    return Instant.at(clock.reading())
