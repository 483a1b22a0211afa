"""The table A4, row by row, each as a first attempt and after one that is unresolved."""

from dataclasses import dataclass

import pytest

from broadcaster.core.classify import classify
from broadcaster.core.values import Heard, Instant, Lost, Unsent, Verdict
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

NOW = Instant(wall_us=1_800_000_000_000_000)
LOST = Lost(reason="timeout", started=NOW, ended=NOW)
UNSENT = Unsent(reason="connection_refused", started=NOW, ended=NOW)


@dataclass(frozen=True)
class Meaning:
    action: Action
    executed: Executed
    error: type[BroadcasterError] | None = None


def stop(error: type[BroadcasterError], executed: Executed = Executed.NO) -> Meaning:
    return Meaning(Action.STOP, executed, error)


ACCEPT = Meaning(Action.ACCEPT, Executed.YES)
AGAIN_NOTHING_DONE = Meaning(Action.REPEAT, Executed.NO)
AGAIN_UNKNOWN = Meaning(Action.REPEAT, Executed.UNKNOWN)
HOLD = Meaning(Action.HOLD, Executed.UNKNOWN)
SPLIT = Meaning(Action.SPLIT, Executed.NO)
REJECT = Meaning(Action.REJECT, Executed.NO)
FOREIGN = stop(ContractBroken, Executed.YES)
WHOLE, PARTIAL, OTHERS, UNREADABLE = Shape.WHOLE, Shape.PARTIAL, Shape.FOREIGN, Shape.UNREADABLE


def heard(
    status: int,
    code: str = "",
    *,
    shape: Shape = Shape.ERROR,
    blamed: tuple[int, ...] = (),
    about: tuple[str, ...] = (),
    retry_after_s: float | None = None,
    replayed: str = "",
) -> Heard:
    return Heard(
        status=status,
        shape=shape,
        code=code,
        blamed=blamed,
        about=frozenset(about),
        retry_after_s=retry_after_s,
        replayed=replayed,
    )


def doubted(meaning: Meaning) -> Meaning:
    """What a refusal means while an earlier attempt is unresolved."""
    if meaning.action is Action.STOP:
        return stop(meaning.error or Halted, Executed.UNKNOWN)
    return HOLD


# what was heard · what it means the first time · and while an earlier attempt is unresolved
SAME_IN_DOUBT: dict[str, tuple[Heard | Lost | Unsent, Meaning]] = {
    "no byte left": (UNSENT, AGAIN_NOTHING_DONE),
    "the answer is lost": (LOST, AGAIN_UNKNOWN),
    "202 with an entry for all": (heard(202, shape=WHOLE), ACCEPT),
    "200 with an entry for all": (heard(200, shape=WHOLE), ACCEPT),
    "202 out of the API's memory": (heard(202, shape=WHOLE, replayed="req_1"), ACCEPT),
    "202 with entries for some": (heard(202, shape=PARTIAL), ACCEPT),
    "202 about somebody else": (heard(202, shape=OTHERS), FOREIGN),
    "202 that cannot be read": (heard(202, shape=UNREADABLE), AGAIN_UNKNOWN),
    "202 that says no": (heard(202, shape=Shape.ERROR), AGAIN_UNKNOWN),
    "408": (heard(408), AGAIN_UNKNOWN),
    "409 CONFLICT_001, still in flight": (heard(409, "CONFLICT_001"), AGAIN_UNKNOWN),
    "409 without a code": (heard(409), stop(RequestRefused, Executed.UNKNOWN)),
    "409 RESOURCE_007": (heard(409, "RESOURCE_007"), stop(RequestRefused, Executed.UNKNOWN)),
    "409 CONFLICT_012": (heard(409, "CONFLICT_012"), stop(RequestRefused, Executed.UNKNOWN)),
    "429 BUSINESS_002": (heard(429, "BUSINESS_002"), AGAIN_NOTHING_DONE),
    "429 without a code": (heard(429), AGAIN_NOTHING_DONE),
    "429 with an unknown code": (heard(429, "WEATHER_001"), AGAIN_NOTHING_DONE),
    "500 INTERNAL_001": (heard(500, "INTERNAL_001"), AGAIN_UNKNOWN),
    "500 INTERNAL_002": (heard(500, "INTERNAL_002"), AGAIN_UNKNOWN),
    "500 INTERNAL_003": (heard(500, "INTERNAL_003"), AGAIN_UNKNOWN),
    "502 of a gateway": (heard(502), AGAIN_UNKNOWN),
    "504 INTERNAL_004": (heard(504, "INTERNAL_004"), AGAIN_UNKNOWN),
    "503 SERVICE_001": (heard(503, "SERVICE_001"), AGAIN_NOTHING_DONE),
    "503 INTERNAL_005": (heard(503, "INTERNAL_005"), AGAIN_UNKNOWN),
    "503 of a gateway": (heard(503), AGAIN_UNKNOWN),
    "SERVICE_001 under another status promises nothing": (heard(500, "SERVICE_001"), AGAIN_UNKNOWN),
    "520, a status nobody documents": (heard(520), AGAIN_UNKNOWN),
    "a status outside all classes": (heard(999), AGAIN_UNKNOWN),
}
FORGOTTEN = Lost(reason="answer_too_large", started=NOW, ended=NOW)
REFUSALS: dict[str, tuple[Heard | Lost | Unsent, Meaning]] = {
    "302": (heard(302), stop(RequestRefused)),
    "400 naming a recipient": (heard(400, "VALIDATION_002", blamed=(3,)), SPLIT),
    "400 naming a recipient under an unknown code": (heard(400, "NEW_001", blamed=(0,)), SPLIT),
    "400 VALIDATION_001 naming nobody": (heard(400, "VALIDATION_001"), SPLIT),
    "400 VALIDATION_001 about the template": (
        heard(400, "VALIDATION_001", about=("template",)),
        stop(TemplateUnusable),
    ),
    "400 VALIDATION_001 about the channel": (heard(400, "VALIDATION_001", about=("channel",)), stop(RequestRefused)),
    "400 about template and channel": (heard(400, about=("channel", "template")), stop(TemplateUnusable)),
    "400 about a field nobody knows": (heard(400, "VALIDATION_001", about=("colour",)), SPLIT),
    "400 VALIDATION_002 naming nobody": (heard(400, "VALIDATION_002"), SPLIT),
    "422 VALIDATION_002, as it once was": (heard(422, "VALIDATION_002"), SPLIT),
    "422 VALIDATION_002 naming a recipient": (heard(422, "VALIDATION_002", blamed=(1,)), SPLIT),
    "400 VALIDATION_003": (heard(400, "VALIDATION_003"), stop(RequestRefused)),
    "400 VALIDATION_003 about the template": (
        heard(400, "VALIDATION_003", about=("template",)),
        stop(TemplateUnusable),
    ),
    "400 VALIDATION_004": (heard(400, "VALIDATION_004"), stop(RequestRefused)),
    "400 VALIDATION_005": (heard(400, "VALIDATION_005"), SPLIT),
    "400 VALIDATION_006": (heard(400, "VALIDATION_006"), stop(RequestRefused)),
    "400 VALIDATION_007": (heard(400, "VALIDATION_007"), stop(RequestRefused)),
    "400 VALIDATION_008": (heard(400, "VALIDATION_008"), REJECT),
    "400 VALIDATION_008 about the template": (heard(400, "VALIDATION_008", about=("template",)), REJECT),
    "400 BUSINESS_001": (heard(400, "BUSINESS_001"), SPLIT),
    "400 BUSINESS_003": (heard(400, "BUSINESS_003"), stop(BalanceExhausted)),
    "402 BUSINESS_003": (heard(402, "BUSINESS_003"), stop(BalanceExhausted)),
    "403 BUSINESS_003, as it once was": (heard(403, "BUSINESS_003"), stop(BalanceExhausted)),
    "422 BUSINESS_003, as it once was": (heard(422, "BUSINESS_003"), stop(BalanceExhausted)),
    "429 BUSINESS_008": (heard(429, "BUSINESS_008"), stop(BalanceExhausted)),
    "400 BUSINESS_004, opted out": (heard(400, "BUSINESS_004"), SPLIT),
    "422 BUSINESS_004, all opted out": (heard(422, "BUSINESS_004"), SPLIT),
    "400 BUSINESS_005": (heard(400, "BUSINESS_005"), stop(TemplateUnusable)),
    "422 BUSINESS_005": (heard(422, "BUSINESS_005"), stop(TemplateUnusable)),
    "400 BUSINESS_006": (heard(400, "BUSINESS_006"), SPLIT),
    "400 BUSINESS_007": (heard(400, "BUSINESS_007"), SPLIT),
    "400 BUSINESS_008": (heard(400, "BUSINESS_008"), stop(BalanceExhausted)),
    "400 BUSINESS_010": (heard(400, "BUSINESS_010"), SPLIT),
    "400 BUSINESS_012": (heard(400, "BUSINESS_012"), stop(TemplateUnusable)),
    "400 without a body": (heard(400), SPLIT),
    "400 AUTH_002": (heard(400, "AUTH_002"), stop(AccountRefused)),
    "400 CONFLICT_005": (heard(400, "CONFLICT_005"), stop(ContractBroken)),
    "401 without a body": (heard(401), stop(AccountRefused)),
    "401 AUTH_001": (heard(401, "AUTH_001"), stop(AccountRefused)),
    "401 AUTH_002": (heard(401, "AUTH_002"), stop(AccountRefused)),
    "402 without a body": (heard(402), stop(BalanceExhausted)),
    "403 without a body": (heard(403), stop(AccountRefused)),
    "403 AUTH_004": (heard(403, "AUTH_004"), stop(AccountRefused)),
    "403 AUTH_005": (heard(403, "AUTH_005"), stop(AccountRefused)),
    "403 AUTH_006": (heard(403, "AUTH_006"), stop(AccountRefused)),
    "403 AUTH_007": (heard(403, "AUTH_007"), stop(AccountRefused)),
    "403 BUSINESS_014": (heard(403, "BUSINESS_014"), stop(AccountRefused)),
    "403 account_suspended": (heard(403, "account_suspended"), stop(AccountRefused)),
    "404 without a body": (heard(404), stop(RequestRefused)),
    **{
        f"404 RESOURCE_{n:03}": (heard(404, f"RESOURCE_{n:03}"), stop(RequestRefused))
        for n in (1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13)
    },
    "404 RESOURCE_002": (heard(404, "RESOURCE_002"), stop(TemplateUnusable)),
    "404 RESOURCE_014": (heard(404, "RESOURCE_014"), stop(AccountRefused)),
    "409 CONFLICT_005": (heard(409, "CONFLICT_005"), stop(ContractBroken)),
    "409 CONFLICT_006": (heard(409, "CONFLICT_006"), stop(TemplateUnusable)),
    "413": (heard(413), stop(RequestRefused)),
    "418": (heard(418), stop(RequestRefused)),
    "422 without a body, other payload": (heard(422), stop(ContractBroken)),
    "422 CONFLICT_005": (heard(422, "CONFLICT_005"), stop(ContractBroken)),
    "422 with an unknown code": (heard(422, "WEATHER_001"), stop(RequestRefused)),
    "429 AUTH_002, the key is locked": (heard(429, "AUTH_002"), stop(AccountRefused)),
    "429 LIMIT_001": (heard(429, "LIMIT_001"), stop(Halted)),
}


def meaning(verdict: Verdict) -> Meaning:
    return Meaning(verdict.action, verdict.executed, verdict.error)


@pytest.mark.parametrize(
    ("result", "expected"), [*SAME_IN_DOUBT.values(), *REFUSALS.values()], ids=[*SAME_IN_DOUBT, *REFUSALS]
)
def test_a_first_attempt_means(result: Heard | Lost | Unsent, expected: Meaning) -> None:
    assert meaning(classify(result, repeat=Repeat.KEYED, doubtful=False)) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [*SAME_IN_DOUBT.values(), *((result, doubted(first)) for result, first in REFUSALS.values())],
    ids=[*SAME_IN_DOUBT, *REFUSALS],
)
def test_after_an_unresolved_attempt_it_means(result: Heard | Lost | Unsent, expected: Meaning) -> None:
    assert meaning(classify(result, repeat=Repeat.KEYED, doubtful=True)) == expected


@pytest.mark.parametrize("repeat", list(Repeat))
@pytest.mark.parametrize("on_5xx", list(On5xx))
@pytest.mark.parametrize(
    "result", [each for each, _ in [*SAME_IN_DOUBT.values(), *REFUSALS.values()]], ids=[*SAME_IN_DOUBT, *REFUSALS]
)
def test_nothing_in_doubt_is_ever_split_rejected_or_called_undone_by_a_stop(
    result: Heard | Lost | Unsent, repeat: Repeat, on_5xx: On5xx
) -> None:
    verdict = classify(result, repeat=repeat, doubtful=True, on_5xx=on_5xx)

    assert verdict.action not in {Action.SPLIT, Action.REJECT}
    assert (verdict.action, verdict.executed) != (Action.STOP, Executed.NO)


@pytest.mark.parametrize(
    "result", [each for each, _ in [*SAME_IN_DOUBT.values(), *REFUSALS.values()]], ids=[*SAME_IN_DOUBT, *REFUSALS]
)
def test_without_protection_nothing_that_may_have_been_executed_is_repeated(result: Heard | Lost | Unsent) -> None:
    verdict = classify(result, repeat=Repeat.NEVER, doubtful=False)

    assert (verdict.action, verdict.executed) != (Action.REPEAT, Executed.UNKNOWN)


@pytest.mark.parametrize("result", [LOST, heard(202, shape=UNREADABLE), heard(408), heard(500), heard(503)])
@pytest.mark.parametrize(
    ("repeat", "expected"), [(Repeat.KEYED, AGAIN_UNKNOWN), (Repeat.NATURAL, AGAIN_UNKNOWN), (Repeat.NEVER, HOLD)]
)
def test_doubt_is_repeated_only_under_protection(
    result: Heard | Lost | Unsent, repeat: Repeat, expected: Meaning
) -> None:
    assert meaning(classify(result, repeat=repeat, doubtful=False)) == expected


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_ambiguous_server_error_is_held_when_the_user_says_so(status: int) -> None:
    assert meaning(classify(heard(status), repeat=Repeat.KEYED, doubtful=False, on_5xx=On5xx.HOLD)) == HOLD


@pytest.mark.parametrize(
    ("repeat", "status", "code"),
    [(Repeat.KEYED, 503, "SERVICE_001"), (Repeat.KEYED, 503, ""), (Repeat.NATURAL, 500, "")],
    ids=["nothing was done", "not one of the ambiguous", "twice is once"],
)
def test_holding_server_errors_holds_nothing_else(repeat: Repeat, status: int, code: str) -> None:
    verdict = classify(heard(status, code), repeat=repeat, doubtful=False, on_5xx=On5xx.HOLD)

    assert verdict.action is Action.REPEAT


@pytest.mark.parametrize(
    ("said_s", "expected_s"), [(None, 5.0), (1.0, 5.0), (30.0, 30.0)], ids=["nothing", "less", "more"]
)
def test_a_request_still_in_flight_is_given_at_least_five_seconds(said_s: float | None, expected_s: float) -> None:
    verdict = classify(heard(409, "CONFLICT_001", retry_after_s=said_s), repeat=Repeat.KEYED, doubtful=False)

    assert verdict.retry_after_s == expected_s


def test_only_a_matter_of_speed_throttles_everybody() -> None:
    rows: dict[str, tuple[Heard | Lost | Unsent, Meaning]] = {**SAME_IN_DOUBT, **REFUSALS}

    throttled = {
        name for name, (result, _) in rows.items() if classify(result, repeat=Repeat.KEYED, doubtful=False).throttled
    }

    assert throttled == {"429 BUSINESS_002", "429 without a code", "429 with an unknown code"}


def test_a_429_carries_how_long_to_wait() -> None:
    verdict = classify(heard(429, "BUSINESS_002", retry_after_s=90.0), repeat=Repeat.KEYED, doubtful=False)

    assert verdict.retry_after_s == 90.0


def test_a_429_after_the_key_was_refused_is_its_lock_out() -> None:
    verdict = classify(heard(429), repeat=Repeat.KEYED, doubtful=False, after_auth_failure=True)

    assert meaning(verdict) == stop(AccountRefused)


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize("doubtful", [False, True])
def test_a_key_that_another_launch_used_for_another_time_is_in_doubt_and_stops_nothing(
    status: int,
    doubtful: bool,  # noqa: FBT001 - a column
) -> None:
    verdict = classify(heard(status, "CONFLICT_005"), repeat=Repeat.KEYED, doubtful=doubtful, retimed=True)
    assert (verdict.action, verdict.executed) == (Action.HOLD, Executed.UNKNOWN)
    assert "Another launch" in verdict.sentence


def test_whom_the_api_names_is_blamed_and_only_when_they_are_rejected() -> None:
    named = heard(400, "VALIDATION_002", blamed=(1, 4))

    assert classify(named, repeat=Repeat.KEYED, doubtful=False).blamed == (1, 4)
    assert classify(named, repeat=Repeat.KEYED, doubtful=True).blamed == ()


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (LOST, "lost"),
        (UNSENT, "unsent"),
        (heard(202, shape=UNREADABLE), "unreadable"),
        (heard(202, shape=OTHERS), "foreign"),
        (heard(202, shape=PARTIAL), "partial"),
        (heard(202, shape=WHOLE), ""),
        (heard(418), "http_418"),
        (heard(400, "VALIDATION_002"), "VALIDATION_002"),
    ],
)
def test_the_code_is_the_apis_or_a_word_of_ours(result: Heard | Lost | Unsent, code: str) -> None:
    assert classify(result, repeat=Repeat.KEYED, doubtful=False).code == code


def test_an_answer_to_a_key_that_this_run_never_sent_is_accepted_with_a_word() -> None:
    replay = heard(202, shape=WHOLE, replayed="req_1")

    assert classify(replay, repeat=Repeat.KEYED, doubtful=False, replay_expected=True).code == ""
    surprised = classify(replay, repeat=Repeat.KEYED, doubtful=False, replay_expected=False)
    assert (surprised.action, surprised.code) == (Action.ACCEPT, "replayed")


def test_the_sentence_repeats_what_the_api_says() -> None:
    refusal = Heard(status=403, shape=Shape.ERROR, code="AUTH_006", sentence="KYC is incomplete")

    assert classify(refusal, repeat=Repeat.KEYED, doubtful=False).sentence == (
        "The API refuses the key or the account. The API says: KYC is incomplete"
    )


@pytest.mark.parametrize(
    "result", [each for each, _ in [*SAME_IN_DOUBT.values(), *REFUSALS.values()]], ids=[*SAME_IN_DOUBT, *REFUSALS]
)
def test_whatever_is_not_as_asked_has_a_sentence_for_people(result: Heard | Lost | Unsent) -> None:
    verdict = classify(result, repeat=Repeat.KEYED, doubtful=False)

    assert (verdict.sentence.endswith(".")) == (verdict.code != "")


@pytest.mark.parametrize("doubtful", [False, True])
@pytest.mark.parametrize("repeat", list(Repeat))
def test_an_answer_that_the_api_has_forgotten_is_held(repeat: Repeat, doubtful: bool) -> None:  # noqa: FBT001 - a column
    verdict = classify(FORGOTTEN, repeat=repeat, doubtful=doubtful)
    assert (verdict.action, verdict.executed, verdict.code) == (Action.HOLD, Executed.UNKNOWN, "answer_too_large")
