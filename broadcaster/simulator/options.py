"""From the command line, a configuration file and the environment to :class:`Settings`."""

import argparse
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from broadcaster.simulator.faults import FaultError
from broadcaster.simulator.idempotency import REUSED_KEY
from broadcaster.simulator.lifecycle import Lifecycle
from broadcaster.simulator.profiles import CALM, Profile, find_profile, load_profile, names
from broadcaster.simulator.quiet import QuietError, parse_quiet_hours
from broadcaster.simulator.rules import load_rules
from broadcaster.simulator.settings import AUTO_CHANNELS, EMPTY_BALANCE, SCOPES, TEXT_GATES, UNAPPROVED, Settings
from broadcaster.simulator.templates import BUILT_IN, TemplateError, load_templates
from broadcaster.simulator.validate import DETAILS_FORMS, Rules
from broadcaster.simulator.webhooks.rules import ENVELOPES, STAMPS, WebhookRules

KEY_VARIABLE = "SENT_DM_API_KEY"


class OptionError(Exception):
    """An option makes no sense. The text is a sentence for the person who started the simulator."""


def read_settings(arguments: Sequence[str], *, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a command line; flags win over the file that ``--config`` names.

    Raises:
        OptionError: a value or a file named by one is unusable.
        SystemExit: argparse did not understand a flag (2), or printed its help (0).
    """
    parser = _parser()
    config = _read(parser.parse_args(arguments).config, "--config", otherwise=None)
    if config is not None:
        parser.set_defaults(**_defaults(parser, config))
    given = parser.parse_args(arguments)
    _check_ranges(given)
    try:
        profile = _profile(given.profile)
        faults = load_rules(_read(given.faults, "--faults", otherwise=[]))
        templates = load_templates(_read(given.templates, "--templates", otherwise=[]))
        profile_ids = frozenset(str(uuid.UUID(profile)) for profile in given.profile_id)
        quiet = tuple(parse_quiet_hours(text) for text in given.quiet_hours)
    except (FaultError, TemplateError, QuietError) as error:
        raise OptionError(f"Unusable option: {error}.") from error
    except ValueError:
        raise OptionError("--profile-id must be a UUID.") from None
    account = _read(given.account, "--account", otherwise={})
    if not isinstance(account, dict):
        raise OptionError("--account must be a JSON object.")
    return Settings(
        host=given.host,
        port=given.port,
        state=given.state,
        until_stdin_closes=given.until_stdin_closes,
        key=environ.get(KEY_VARIABLE) or Settings().key,
        idempotency_ttl_s=given.idempotency_ttl,
        in_flight_wait_s=given.in_flight_wait,
        reused_key=given.reused_key,
        idempotency_scope=given.idempotency_scope,
        auto_channel=given.auto_channel,
        unapproved_template=given.unapproved_template,
        balance=given.balance,
        empty_balance=given.empty_balance,
        text_gate=given.text_gate,
        held_limit=given.held_limit,
        template_review_s=given.template_review,
        requests_per_minute=given.requests_per_minute,
        messages_per_minute=given.messages_per_minute,
        rules=Rules(refuse_numbers=frozenset(given.refuse_number), details_form=given.details_form),
        profile_ids=profile_ids,
        account=account,
        templates=(*BUILT_IN, *templates),
        profile=profile if given.faults is None else replace(profile, name="custom", rules=(*faults, *profile.rules)),
        seed=given.seed,
        webhooks=WebhookRules(
            envelope=given.webhook_envelope,
            retry_s=given.webhook_retry_s,
            retry_stamp=given.webhook_retry_stamp,
            duplicates=given.webhook_duplicates,
            disorder=given.webhook_disorder,
            sensitive_per_minute=given.sensitive_per_minute,
        ),
        world=Lifecycle(
            seed=given.seed,
            speed=given.lifecycle_speed,
            failed_share=given.failed_share,
            reroute_share=given.reroute_share,
            read_share=given.read_share,
            quiet=quiet,
        ),
    )


def _check_ranges(given: argparse.Namespace) -> None:
    for name in ("failed_share", "reroute_share", "read_share", "webhook_duplicates", "webhook_disorder"):
        if not 0 <= getattr(given, name) <= 1:
            raise OptionError(f"--{name.replace('_', '-')} must be from 0 to 1.")
    for name in ("lifecycle_speed", "template_review", "held_limit", "balance", "webhook_retry_s"):
        value = getattr(given, name)
        if value is not None and (not isinstance(value, int | float) or not value >= 0):  # also refuses nan
            raise OptionError(f"--{name.replace('_', '-')} must be 0 or more.")


def _parser() -> argparse.ArgumentParser:
    usual = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m broadcaster.simulator",
        description="A local Sent API. It accepts the key in SENT_DM_API_KEY, else the word 'simulator'.",
        epilog="FILE|JSON: a file's path, or the JSON itself.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default=usual.host, help="address to listen on (%(default)s)")
    add("--port", type=int, default=usual.port, help="0: any free one")
    add("--state", default=usual.state, metavar="FILE", help="the ledger; ':memory:' keeps nothing (%(default)s)")
    add("--until-stdin-closes", action="store_true", help="exit when stdin ends, so as to die with the parent")
    add("--config", metavar="FILE|JSON", help="a JSON object of these options, without the dashes")
    add("--idempotency-ttl", type=float, default=usual.idempotency_ttl_s, metavar="SECONDS")
    add("--in-flight-wait", type=float, default=usual.in_flight_wait_s, metavar="SECONDS",
        help="how long a duplicate waits for its original before 409 CONFLICT_001 (%(default)s)")  # fmt: skip
    add("--reused-key", choices=REUSED_KEY, default=usual.reused_key,
        help="a key with another body: 409, 422, or silently the first answer (%(default)s)")  # fmt: skip
    add("--idempotency-scope", choices=SCOPES, default=usual.idempotency_scope)
    add("--auto-channel", choices=AUTO_CHANNELS, default=usual.auto_channel,
        help="what a 202 shows as channel when the API picks (%(default)s)")  # fmt: skip
    add("--details-form", choices=tuple(DETAILS_FORMS), default=usual.rules.details_form,
        help="how `details` names a bad recipient (%(default)s)")  # fmt: skip
    add("--unapproved-template", choices=UNAPPROVED, default=usual.unapproved_template,
        help="accept and block, or refuse with 400 (%(default)s)")  # fmt: skip
    add("--refuse-number", action="append", default=[], metavar="E164", help="answer VALIDATION_002 for it; repeatable")
    add("--profile-id", action="append", default=[], metavar="UUID", help="a known profile; repeatable (default: any)")
    add("--requests-per-minute", type=int, default=usual.requests_per_minute, metavar="N", help="0: no limit")
    add("--messages-per-minute", type=int, default=usual.messages_per_minute, metavar="N", help="0: no limit")
    add("--account", metavar="FILE|JSON", help="laid over the answer of GET /v3/me")
    add("--templates", metavar="FILE|JSON", help="a list of more templates: id, name, body, status, channels")
    add(
        "--profile",
        metavar="NAME|FILE",
        default=CALM,
        help=f"faults: {', '.join(names())}, or a TOML file (%(default)s)",
    )
    add("--faults", metavar="FILE|JSON", help="a list of fault rules, played before those of the profile")
    add("--seed", type=int, default=usual.seed, help="of all chance: faults and what becomes of messages (%(default)s)")
    _add_policies(add, usual)
    _add_world(add, usual.world)
    _add_webhooks(add, usual.webhooks)
    return parser


def _add_policies(add: Callable[..., object], usual: Settings) -> None:
    """Options about what an account may send."""
    add("--balance", type=int, default=usual.balance, metavar="N", help="messages paid for (default: no end of them)")
    add("--empty-balance", choices=EMPTY_BALANCE, default=usual.empty_balance,
        help="accept and block what is not paid for, or refuse with 402 as in the past (%(default)s)")  # fmt: skip
    add("--text-gate", choices=TEXT_GATES, default=usual.text_gate,
        help="block free text where no template was sent within a week (%(default)s)")  # fmt: skip
    add("--held-limit", type=int, default=usual.held_limit, metavar="N",
        help="scheduled messages at once before 429 LIMIT_001 (%(default)s)")  # fmt: skip
    add("--template-review", type=float, default=usual.template_review_s, metavar="SECONDS",
        help="from a template's submission to its approval, at --lifecycle-speed 1 (%(default)s)")  # fmt: skip


def _add_world(add: Callable[..., object], usual: Lifecycle) -> None:
    """Options about what becomes of messages."""
    add("--lifecycle-speed", type=float, default=usual.speed, metavar="FACTOR",
        help="how much faster than life all goes that follows a send, also holds; 0: never (%(default)s)")  # fmt: skip
    add("--failed-share", type=float, default=usual.failed_share, metavar="SHARE",
        help="part of the delivery attempts that fail, 0 to 1 (%(default)s)")  # fmt: skip
    add("--reroute-share", type=float, default=usual.reroute_share, metavar="SHARE",
        help="part of those failed that go to another channel, where the API picks (%(default)s)")  # fmt: skip
    add("--read-share", type=float, default=usual.read_share, metavar="SHARE",
        help="part of those delivered by WhatsApp or RCS that are read (%(default)s)")  # fmt: skip
    add("--quiet-hours", action="append", default=[], metavar="[PREFIX=]START-END[OFFSET]",
        help="hold messages meanwhile: 21:00-08:00 for all, in UTC, or +1=21:00-08:00-05:00; repeatable")  # fmt: skip


def _add_webhooks(add: Callable[..., object], usual: WebhookRules) -> None:
    """Options about how events are delivered."""
    add("--webhook-retry-s", type=float, default=usual.retry_s, metavar="SECONDS",
        help="before a failed delivery is tried again; doubles each time (%(default)s)")  # fmt: skip
    add("--webhook-duplicates", type=float, default=usual.duplicates, metavar="SHARE",
        help="part of the events that are delivered twice, 0 to 1 (%(default)s)")  # fmt: skip
    add("--webhook-disorder", type=float, default=usual.disorder, metavar="SHARE",
        help="part of the events that later ones overtake (%(default)s)")  # fmt: skip
    add("--webhook-envelope", choices=ENVELOPES, default=usual.envelope,
        help="the shape of an event: d is today's, the others were (%(default)s)")  # fmt: skip
    add("--webhook-retry-stamp", choices=STAMPS, default=usual.retry_stamp,
        help="whether a retry is signed with a fresh timestamp or the first one's (%(default)s)")  # fmt: skip
    add("--sensitive-per-minute", type=int, default=usual.sensitive_per_minute, metavar="N",
        help="tests of webhooks and rotations of their secrets; 0: no limit")  # fmt: skip


def _defaults(parser: argparse.ArgumentParser, config: object) -> dict[str, object]:
    """Options of a configuration file, by their argparse names."""
    if not isinstance(config, dict):
        raise OptionError("--config must be a JSON object.")
    options = {str(name).replace("-", "_"): value for name, value in config.items()}
    for name, value in options.items():
        usual = parser.get_default(name)
        if name not in vars(parser.parse_args([])) or name == "config":
            raise OptionError(f"--config: {name!r} is unknown.")
        if isinstance(usual, float) and isinstance(value, int) and not isinstance(value, bool):
            continue
        if usual is not None and type(value) is not type(usual):
            raise OptionError(f"--config: {name!r} must be of type {type(usual).__name__}.")
    return options


def _profile(given: str) -> Profile:
    """The profile that ``--profile`` names: one of ours, or a file."""
    try:
        if given in names():
            return find_profile(given)
        return load_profile(Path(given).read_text(encoding="utf-8"), name=Path(given).stem)
    except FaultError as error:
        raise OptionError(f"--profile: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        known = ", ".join(names())
        raise OptionError(f"--profile: {given} is none of {known}, and no readable file: {reason}.") from error


def _read(given: object, flag: str, *, otherwise: object) -> object:
    """The JSON that an option holds or names a file of; *otherwise* when it was not given."""
    if given is None:
        return otherwise
    if not isinstance(given, str):
        return given  # JSON already, from the configuration file
    try:
        text = given if given.lstrip().startswith(("[", "{")) else Path(given).read_text(encoding="utf-8")
        document: object = json.loads(text)
    except OSError as error:
        raise OptionError(f"{flag}: cannot read {given}: {error.strerror}.") from error
    except ValueError as error:
        raise OptionError(f"{flag}: no valid JSON: {error}.") from error
    return document
