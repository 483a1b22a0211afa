"""What an attempt means: the one place that decides, and nothing else than tables.

A row says what follows from a status and an error code. Codes that mean the same under every refusal come first; then
the most specific row wins: status and code, the status, its class. Unknown codes therefore go by their HTTP class. An
operation may lay rows of its own over the table, where a code means something else there. Two things bend a row
afterwards: what protects a repeated request, and whether an earlier attempt is unresolved.

Knows nothing of HTTP libraries, JSON or time: it is handed a :class:`Heard`, a :class:`Lost` or an :class:`Unsent`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from broadcaster.core.values import Heard, Lost, Unsent, Verdict
from broadcaster.core.words import Action, Executed, On5xx, Repeat, Shape
from broadcaster.errors import (
    AccountRefused,
    BalanceExhausted,
    BroadcasterError,
    ContractBroken,
    Halted,
    RequestRefused,
    TemplateUnusable,
)

ANSWER_TOO_LARGE = "answer_too_large"
"""Why an answer was not read to its end: nobody reads so much, and the API does not remember it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. ``at_least_s``: the shortest wait before the repeat, whatever the API proposes."""

    action: Action
    executed: Executed
    sentence: str
    error: type[BroadcasterError] | None = None
    throttled: bool = False
    at_least_s: float | None = None


def _stop(error: type[BroadcasterError], sentence: str, *, executed: Executed = Executed.NO) -> Row:
    return Row(action=Action.STOP, executed=executed, sentence=sentence, error=error)


def _split(sentence: str) -> Row:
    return Row(action=Action.SPLIT, executed=Executed.NO, sentence=sentence)


def _doubt(sentence: str, *, at_least_s: float | None = None) -> Row:
    return Row(action=Action.REPEAT, executed=Executed.UNKNOWN, sentence=sentence, at_least_s=at_least_s)


_NAMED = _split("The API refuses the recipients that it names.")
_SOMEBODY = _split("The API refuses the request and does not say for whom.")
_MALFORMED = _stop(RequestRefused, "The API refuses the request as such, whoever it is for.")
_TEMPLATE = _stop(TemplateUnusable, "The API does not know the template, or does not allow it to be sent.")
_ACCOUNT = _stop(AccountRefused, "The API refuses the key or the account.")
_BALANCE = _stop(BalanceExhausted, "The account's balance or quota does not allow more messages.")
_OTHER_PAYLOAD = _stop(ContractBroken, "The API remembers this idempotency key for a different request.")
_ELSEWHEN = Row(
    action=Action.HOLD,
    executed=Executed.UNKNOWN,
    sentence="Another launch of this campaign has sent it, at another time; what came of it is known there.",
)
_FAILING = _doubt("The API failed; whether it created the messages is not known.")

# A code that means the same under every 4xx; the statuses of these changed over time.
ANY_4XX: Mapping[str, Row] = MappingProxyType(
    {
        "BUSINESS_003": _BALANCE,
        "BUSINESS_008": _BALANCE,
        "CONFLICT_005": _OTHER_PAYLOAD,
    }
)

BY_CODE: Mapping[tuple[int, str], Row] = MappingProxyType(
    {
        (400, "VALIDATION_001"): _SOMEBODY,
        (400, "VALIDATION_002"): _SOMEBODY,
        (400, "VALIDATION_003"): _MALFORMED,
        (400, "VALIDATION_004"): _MALFORMED,
        (400, "VALIDATION_005"): _SOMEBODY,
        (400, "VALIDATION_006"): _MALFORMED,
        (400, "VALIDATION_007"): _MALFORMED,
        (400, "VALIDATION_008"): Row(
            action=Action.REJECT,
            executed=Executed.NO,
            sentence="The API refuses a value of the template's parameters.",
        ),
        (400, "BUSINESS_005"): _TEMPLATE,
        (400, "BUSINESS_012"): _TEMPLATE,
        (404, "RESOURCE_002"): _TEMPLATE,
        (404, "RESOURCE_014"): _ACCOUNT,
        (409, "CONFLICT_001"): _doubt("The same request is still being processed.", at_least_s=5.0),
        (409, "CONFLICT_006"): _stop(TemplateUnusable, "The template is still in review."),
        (429, "LIMIT_001"): _stop(Halted, "The account holds as many scheduled messages as the API allows."),
        (503, "SERVICE_001"): Row(
            action=Action.REPEAT,
            executed=Executed.NO,
            sentence="The API cannot check idempotency keys at the moment and did nothing.",
        ),
    }
)

BY_STATUS: Mapping[int, Row] = MappingProxyType(
    {
        400: _SOMEBODY,
        401: _ACCOUNT,
        402: _BALANCE,
        403: _ACCOUNT,
        408: _doubt("The API did not receive the request in time; whether it created the messages is not known."),
        # Not known to have done nothing: it may be CONFLICT_001 without its code.
        409: _stop(RequestRefused, "The API reports a conflict that is not documented.", executed=Executed.UNKNOWN),
        429: Row(
            action=Action.REPEAT,
            executed=Executed.NO,
            sentence="The API asks everybody to be slower.",
            throttled=True,
        ),
    }
)

BY_CLASS: Mapping[int, Row] = MappingProxyType(
    {
        3: _stop(RequestRefused, "The API answers with a redirect, which is never followed."),
        4: _MALFORMED,
        5: _FAILING,
    }
)

# Fields of a request, as an error names them, that all recipients share: no bisection can help.
SHARED_FIELDS: Mapping[str, Row] = MappingProxyType(
    {
        "template": _TEMPLATE,
        **dict.fromkeys(
            ("channel", "channels", "text", "scheduled_at", "sandbox", "media_urls", "subject"), _MALFORMED
        ),
    }
)

NO_ROWS: Mapping[tuple[int, str], Row] = MappingProxyType({})

_LOST = _doubt("No complete answer arrived")
_FORGOTTEN = Row(
    action=Action.HOLD,
    executed=Executed.UNKNOWN,
    sentence="The answer was longer than the API remembers: a repeat would send everything again.",
)
_AS_ASKED = Verdict(action=Action.ACCEPT, executed=Executed.YES)
_UNREADABLE = _doubt("The API said yes in a form that cannot be read.")
_FOREIGN = _stop(
    ContractBroken,
    "The answer speaks of recipients or messages that were not asked for.",
    executed=Executed.YES,
)
_AMBIGUOUS_5XX = frozenset({500, 502, 504})
# Not a refusal of the body: 408 is a lost request, 409 waits for the first one, 429 comes before anything is looked at.
_SAY_NOTHING_OF_THE_BODY = frozenset({408, 409, 429})


def classify(
    result: Heard | Lost | Unsent,
    *,
    repeat: Repeat,
    doubtful: bool,
    on_5xx: On5xx = On5xx.RETRY,
    replay_expected: bool = True,
    after_auth_failure: bool = False,
    codes: Mapping[tuple[int, str], Row] = NO_ROWS,
    retimed: bool = False,
) -> Verdict:
    """Decide what to do after an attempt, and whether it created messages.

    Args:
        result: what came of the attempt.
        repeat: what protects a repeated request of this operation.
        doubtful: an earlier attempt of the same batch is unresolved. A refusal then proves nothing about that attempt:
            the batch is neither split nor rejected, and a ``STOP`` never says that nothing was created. A ``REPEAT``
            speaks of this attempt alone; the earlier doubt stays.
        on_5xx: what an ambiguous server error leads to; a request that repeats naturally is repeated anyway.
        replay_expected: this run has sent the key before, so that an answer from the API's memory is no surprise.
        after_auth_failure: the key was refused before; a 429 is then the lock-out of the key, not a matter of speed.
        codes: rows of the operation, by status and code; they go before all others.
        retimed: the batch goes out at another time than planned, under the planned request's key.

    Returns:
        The verdict. Its code is the API's, or a stable word of ours (``lost``, ``unsent``, ``answer_too_large``,
        ``unreadable``, ``foreign``, ``partial``, ``replayed``, ``http_418`` …), or "" when all is as asked.
    """
    match result:
        case Unsent(reason=reason):
            return Verdict(
                action=Action.REPEAT,
                executed=Executed.NO,
                code="unsent",
                sentence=f"The request did not leave ({reason}).",
            )
        case Lost(reason=reason) if reason == ANSWER_TOO_LARGE:
            return _verdict(_FORGOTTEN, code=ANSWER_TOO_LARGE)
        case Lost(reason=reason):
            lost = replace(_LOST, sentence=f"{_LOST.sentence} ({reason}).")
            return _verdict(_protected(lost, repeat=repeat), code="lost")
        case Heard(status=status) if 200 <= status < 300:  # noqa: PLR2004 - the success class
            return _yes(result, repeat=repeat, replay_expected=replay_expected)
        case _:
            own = codes.get((result.status, result.code))
            row = _protected(own or _row(result, after_auth_failure=after_auth_failure), repeat=repeat)
            if retimed and row is _OTHER_PAYLOAD:
                row = _ELSEWHEN
            if on_5xx is On5xx.HOLD and repeat is Repeat.KEYED and result.status in _AMBIGUOUS_5XX:
                row = replace(row, action=Action.HOLD)
            if doubtful:
                row = _in_doubt(row, status=result.status)
            return _no(result, row)


def _yes(heard: Heard, *, repeat: Repeat, replay_expected: bool) -> Verdict:
    match heard.shape:
        case Shape.WHOLE | Shape.PARTIAL:
            code, sentence = "", ""
            if heard.shape is Shape.PARTIAL:
                code, sentence = "partial", "The answer has no entry for some of the recipients."
            elif heard.replayed and not replay_expected:
                code, sentence = "replayed", "The same request was sent before by another run of this campaign."
            else:
                return _AS_ASKED
            return Verdict(action=Action.ACCEPT, executed=Executed.YES, code=code, sentence=sentence)
        case Shape.FOREIGN:
            return _verdict(_FOREIGN, code="foreign")
        case Shape.UNREADABLE | Shape.ERROR:
            return _verdict(_protected(_UNREADABLE, repeat=repeat), code="unreadable")


def _row(heard: Heard, *, after_auth_failure: bool) -> Row:
    """Return the most specific row of an answer that is no success."""
    status, code = heard.status, heard.code
    refused = 400 <= status < 500  # noqa: PLR2004 - the class of refusals
    if refused and code in ANY_4XX:
        return ANY_4XX[code]
    if refused and (code.startswith("AUTH_") or (status == 429 and after_auth_failure)):  # noqa: PLR2004 - as documented
        return _ACCOUNT
    if status == 422:  # noqa: PLR2004 - older versions of the API say 422 where newer ones say 400
        if not (code.startswith(("VALIDATION_", "BUSINESS_")) or heard.blamed or heard.about):
            # The idempotency standard gives 422 this meaning; a code that is not documented says something else.
            return _MALFORMED if code else _OTHER_PAYLOAD
        status = 400
    if status == 400:  # noqa: PLR2004 - the only status that may name recipients
        return _bad_request(heard)
    return BY_CODE.get((status, code)) or BY_STATUS.get(status) or BY_CLASS.get(status // 100) or _UNREADABLE


def _bad_request(heard: Heard) -> Row:
    if heard.blamed:
        return _NAMED
    row = BY_CODE.get((400, heard.code), _SOMEBODY)
    if row is _SOMEBODY:
        # In the order of the table: the template's error helps more than that of another field named beside it.
        return next((SHARED_FIELDS[name] for name in SHARED_FIELDS if name in heard.about), row)
    return _TEMPLATE if row is _MALFORMED and "template" in heard.about else row


def _protected(row: Row, *, repeat: Repeat) -> Row:
    """Without protection, doubt stays doubt."""
    if row.action is Action.REPEAT and row.executed is Executed.UNKNOWN and repeat is Repeat.NEVER:
        return replace(row, action=Action.HOLD)
    return row


def _in_doubt(row: Row, *, status: int) -> Row:
    """An earlier attempt is unresolved: a refusal now may come before the API looks at its memory of the key."""
    if row.action is Action.STOP:
        return replace(row, executed=Executed.UNKNOWN)
    if status // 100 == 4 and status not in _SAY_NOTHING_OF_THE_BODY:  # noqa: PLR2004 - the class of refusals
        sentence = f"{row.sentence} An earlier attempt is unresolved, so that this proves nothing."
        return Row(action=Action.HOLD, executed=Executed.UNKNOWN, sentence=sentence)
    return row


def _no(heard: Heard, row: Row) -> Verdict:
    retry_after_s = heard.retry_after_s
    if row.at_least_s is not None:
        retry_after_s = max(row.at_least_s, retry_after_s or 0.0)
    verdict = _verdict(row, code=heard.code or f"http_{heard.status}")
    return replace(
        verdict,
        sentence=f"{row.sentence} The API says: {heard.sentence}" if heard.sentence else row.sentence,
        retry_after_s=retry_after_s,
        blamed=heard.blamed if row.action is Action.SPLIT else (),
    )


def _verdict(row: Row, *, code: str) -> Verdict:
    return Verdict(
        action=row.action,
        executed=row.executed,
        code=code,
        sentence=row.sentence,
        throttled=row.throttled,
        error=row.error,
    )
