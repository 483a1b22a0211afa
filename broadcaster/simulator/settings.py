"""How one simulator behaves: resolved once at the start, frozen after."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broadcaster.simulator.lifecycle import Lifecycle
from broadcaster.simulator.profiles import Profile
from broadcaster.simulator.templates import BUILT_IN, Template
from broadcaster.simulator.validate import Rules
from broadcaster.simulator.webhooks.rules import WebhookRules

UNAPPROVED = ("block", "refuse")
SCOPES = ("customer", "profile")
AUTO_CHANNELS = ("null", "sent")
EMPTY_BALANCE = ("block", "refuse")
TEXT_GATES = ("on", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured. Defaults follow the contract's preferred reading."""

    host: str = "127.0.0.1"
    port: int = 0
    state: str = ":memory:"
    until_stdin_closes: bool = False
    key: str = field(default="simulator", repr=False)
    idempotency_ttl_s: float = 86400.0
    in_flight_wait_s: float = 5.0
    reused_key: str = "conflict"  # one of idempotency.REUSED_KEY
    idempotency_scope: str = "customer"  # one of SCOPES
    auto_channel: str = "null"  # what a 202 shows when the API picks: one of AUTO_CHANNELS
    unapproved_template: str = "block"  # accepted and then BLOCKED, or refused with a 400: one of UNAPPROVED
    balance: int | None = None  # in messages; None: it never runs out
    empty_balance: str = "block"  # accepted and then BLOCKED, or refused with a 402: one of EMPTY_BALANCE
    text_gate: str = "on"  # free text needs an open conversation: one of TEXT_GATES
    held_limit: int = 1_000_000  # scheduled messages at once
    template_review_s: float = 60.0  # from submission to approval, in a life of speed 1
    requests_per_minute: int = 0  # 0: no limit; off by default so that a demo does not fail
    messages_per_minute: int = 0
    rules: Rules = field(default_factory=Rules)
    profile_ids: frozenset[str] = frozenset()  # none: any UUID is a profile of ours
    account: Mapping[str, object] = field(default_factory=dict)  # laid over the answer of GET /v3/me
    templates: tuple[Template, ...] = BUILT_IN
    profile: Profile = field(default_factory=Profile)  # the faults
    webhooks: WebhookRules = field(default_factory=WebhookRules)
    seed: int = 0
    world: Lifecycle = field(default_factory=Lifecycle)  # what becomes of messages; has the seed, too
