"""Telling the job's address how a run ended."""

from collections.abc import Mapping

from broadcaster.app.parts import SIMULATOR_URL
from broadcaster.clock import wall_us
from broadcaster.core.values import Tally
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import ConfigError, ExitCode
from broadcaster.job.settings import NOTIFY_SECRET, notify_secret, notify_url
from broadcaster.store.events import written_at
from broadcaster.store.plan import Plan
from broadcaster.tracking.notify import PAUSES_S, notice, post


async def announce(
    plan: Plan,
    *,
    url: str,
    environ: Mapping[str, str],
    code: ExitCode,
    counts: Tally | None = None,
    why: str | None = None,
    by_hand: bool = False,
    where: str | None = None,
) -> str | None:
    """Tell how a run ended; return what went wrong with that, for people, or ``None``.

    A signal ends it at once. Rehearsals tell nobody.

    Args:
        plan: of the run.
        url: the job's address; that of the environment goes before it, and neither means that nobody is told.
        environ: where ``SENT_NOTIFY_URL`` and ``SENT_NOTIFY_SECRET`` are looked up.
        code: what the command exits with.
        counts: deliveries by status, where they are known.
        why: the sentence of what stopped it.
        by_hand: somebody stopped the run, and may be waiting for it to end: it is tried once.
        where: the address of a run that is not in the plan's directory.
    """
    try:
        to, secret = notify_url(environ, job=url), notify_secret(environ)
    except ConfigError as error:
        return error.sentence
    if not to or SIMULATOR_URL in environ:
        return None
    pauses_s = PAUSES_S[:1] if by_hand else PAUSES_S
    told = notice(
        campaign=plan.head.campaign,
        mode=plan.head.mode,
        run_dir=where or plan.run_dir.path,
        code=code,
        counts=counts,
        why=why,
        at=written_at(wall_us()),
    )
    wrong: str | None = "the notification was given up"

    async def send() -> None:
        nonlocal wrong
        try:
            wrong = await post(to, told, secret=secret, pauses_s=pauses_s)
        except ConfigError:
            wrong = f"nobody was told how the run ended: {NOTIFY_SECRET} is no signing secret (whsec_…)"

    stop = Stop()
    with on_signals(stop):
        await stop.unless_drained(send())
    return wrong
