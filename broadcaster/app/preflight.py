"""What is asked of the API before anything is sent: whose key it is, and whether the template may be sent.

Both may have been asked while the list was still read (:mod:`broadcaster.app.early`); nothing is asked twice.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.api import lookups
from broadcaster.api.asking import Sending
from broadcaster.app.parts import Access, Line
from broadcaster.clock import SystemClock
from broadcaster.core.values import Instant, Reply
from broadcaster.core.words import Channel
from broadcaster.engine.ports import Event
from broadcaster.errors import BelongsToAnother, BroadcasterError, TemplateUnusable
from broadcaster.store import account
from broadcaster.store.head import Head
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.writer import JournalWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the API said before there was a plan.

    Attributes:
        account: whose key it is; ``None`` where that is not known yet.
        template: as the API describes it; ``None`` where that is not known yet.
        failed: why the first of them that is missing could not be had: nobody asks again.
        requests: how many it took.
        events: that happened meanwhile; people have heard of them, the run has not.
    """

    account: lookups.Account | None = None
    template: lookups.Template | None = None
    failed: BroadcasterError | None = None
    requests: int = 0
    events: tuple[Event, ...] = ()


NOTHING_ASKED = Asked()


def require_sendable(plan: Plan, asked: Asked) -> None:
    """Refuse a template that, by what was asked already, cannot be sent as *plan* has it.

    Raises:
        TemplateUnusable: it cannot, or there is none.
    """
    if isinstance(asked.failed, TemplateUnusable):
        raise asked.failed
    if asked.template is not None:
        _judge(asked.template, plan.head, plan.channels)


async def identify(plan: Plan, to: Access, api_line: Line, journal: JournalWriter, *, asked: Asked) -> int | None:
    """Ask whose key it is, first and alone; refuse another account than the journal's. Return the API's time.

    Where the credentials themselves say whose they are, nothing is asked and no time is told.

    Raises:
        BelongsToAnother: another account's, or from another address.
        AccountRefused, Unreachable, RequestRefused, ContractBroken: as the API answers.
    """
    who = await _account(api_line, asked) if to.account is None else None
    account_id = who.id if who is not None else str(to.account)
    api_line.belongs_to(account_id)
    fingerprint = account.fingerprint(base_url=to.identity, account_id=account_id, profile=to.profile)
    with JournalReader(plan.run_dir.journal) as reader:
        known = reader.meta()
    if known.get("account", fingerprint) != fingerprint:
        raise BelongsToAnother(
            f"{plan.run_dir.path} was sent with another account or from another address than this key's; the API "
            "would not recognise what was sent already. Use the key of that account"
        )
    if "account" not in known:
        await journal.put_meta(
            account=fingerprint,
            base_url=to.identity,
            mode=plan.head.mode,
            plan=plan.fingerprint,
            keys=plan.head.keys_sha256,
            run=uuid.uuid4().hex,
        )
    return None if who is None else _server_us(who.reply)


async def check_template(plan: Plan, ask: Sending, *, asked: Asked = NOTHING_ASKED) -> None:
    """Refuse a template that cannot be sent as *plan* has it; a plan with a text of its own has none.

    Raises:
        TemplateUnusable: it cannot.
        AccountRefused, Unreachable, RequestRefused, ContractBroken: as the API answers.
    """
    head = plan.head
    if head.text is not None:
        return
    template = asked.template
    if template is None:
        if asked.failed is not None:
            raise asked.failed
        template = await lookups.template(ask, id=head.template_id, name=head.template_name)
    _judge(template, head, plan.channels)


async def _account(api_line: Line, asked: Asked) -> lookups.Account:
    if asked.account is not None:
        return asked.account
    if asked.failed is not None:
        raise asked.failed
    return await lookups.me(api_line.ask)


def _judge(template: lookups.Template, head: Head, channels: Sequence[Channel]) -> None:
    problems = lookups.template_problems(template, channels=channels, parameters=set(head.parameters))
    if problems:
        name = head.template_name or head.template_id
        raise TemplateUnusable(f"template {name} cannot be sent: {' '.join(problems)} Nobody was messaged")


def _server_us(reply: Reply) -> int | None:
    """Return the API's time now: as *reply* told it, which a large list may have left behind by minutes."""
    heard, now = reply.ended, Instant.at(SystemClock().reading())
    if reply.server_us is None:
        return None
    if heard.boot_us is not None and now.boot_us is not None and heard.boot == now.boot:
        return reply.server_us + now.boot_us - heard.boot_us
    return reply.server_us + max(0, now.wall_us - heard.wall_us)
