"""One HTTP delivery to an endpoint: a signed event goes out, and what the endpoint made of it comes back."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp

from broadcaster.simulator.webhooks.signing import sign
from broadcaster.simulator.webhooks.store import Event, Webhook

_LARGEST_KEPT = 1000  # bytes of an endpoint's answer
_CONNECTIONS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended; without a status there was no answer."""

    status: int | None = None
    error: str | None = None  # a sentence, unless it went well
    response: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the endpoint said yes: any 2xx."""
        return self.error is None


class Post:
    """Delivers over connections of its own; close it in the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Post {'idle' if self._session is None else 'open'}>"

    async def deliver(self, hook: Webhook, event: Event, *, stamp_s: int) -> Outcome:
        """Make one attempt. Redirects are not followed: an endpoint is where it is said to be.

        Args:
            hook: who is told, and the secret.
            event: what is told.
            stamp_s: the timestamp that is signed, in seconds since 1970.
        """
        body = event.body.encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "sent-simulator",
            "x-webhook-id": hook.webhook_id,
            "x-webhook-timestamp": str(stamp_s),
            "x-webhook-signature": sign(hook.secret, webhook_id=hook.webhook_id, timestamp=stamp_s, body=body),
            "x-webhook-event-type": event.event_type,
            "X-Webhook-Event-ID": event.event_id,
        }
        timeout = aiohttp.ClientTimeout(total=hook.timeout_s)
        try:
            async with self._open().post(
                hook.endpoint_url or "", data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                response = (await answer.content.read(_LARGEST_KEPT)).decode("utf-8", "replace")
        except TimeoutError:
            return Outcome(error=f"No answer within {hook.timeout_s} seconds")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(error=f"Not delivered: {type(error).__name__}")
        good = 200 <= answer.status < 300  # noqa: PLR2004 - the definition of 2xx
        return Outcome(status=answer.status, error=None if good else f"HTTP status {answer.status}", response=response)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # lets the transports go

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def now_us() -> int:
    """Return the moment in microseconds since 1970."""
    return time.time_ns() // 1000
