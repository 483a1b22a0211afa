import json
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from broadcaster.api.lookups import Template, me, template, template_problems
from broadcaster.core.values import Instant, Lost, Reply, Request, Unsent
from broadcaster.core.words import Channel
from broadcaster.errors import (
    AccountRefused,
    BroadcasterError,
    ContractBroken,
    RequestRefused,
    TemplateUnusable,
    Unreachable,
)

NOW = Instant(wall_us=1_800_000_000_000_000)
SPRING = {
    "id": "t-1",
    "name": "spring",
    "status": "APPROVED",
    "channels": ["sms", "whatsapp"],
    "variables": ["name"],
    "language": "en",
}


def reply(data: object, *, status: int = 200, **more: object) -> Reply:
    body = json.dumps({"success": True, "data": data, "error": None, "meta": {}, **more}).encode()
    return Reply(status=status, headers={}, body=body, started=NOW, ended=NOW)


def refusal(status: int, code: str = "") -> Reply:
    return reply(None, status=status, success=False, error={"code": code, "message": "No."})


@dataclass
class Script:
    """Answers in turn, and what was asked."""

    answers: list[Reply | Lost | Unsent]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        assert (request.method, request.body, request.key, request.messages) == ("GET", b"", None, 0)
        self.asked.append(request.path)
        return self.answers.pop(0)


def script(*answers: Reply | Lost | Unsent) -> Script:
    return Script(list(answers))


async def test_the_account_is_told_with_its_answer() -> None:
    answer = reply({"id": "acc-1", "name": "Shop", "type": "organization", "channels": {"sms": {"configured": True}}})
    send = script(answer)

    account = await me(send)

    assert (account.id, account.name, account.type) == ("acc-1", "Shop", "organization")
    assert account.reply is answer
    assert send.asked == ["/v3/me"]


async def test_an_account_without_an_id_gets_one_that_is_stable_and_its_own() -> None:
    shop = await me(script(reply({"name": "Shop", "type": "organization"})))
    again = await me(script(reply({"type": "organization", "name": "Shop", "status": "active"})))
    other = await me(script(reply({"name": "Shop", "type": "profile"})))

    assert shop.id == again.id == "digest-068a672d3985a93af2e6a0da4877cbff"
    assert other.id != shop.id


async def test_an_id_that_is_a_number_is_an_id() -> None:
    assert (await me(script(reply({"id": 17, "name": "Shop"})))).id == "17"


REFUSED = {
    "401": (refusal(401, "AUTH_002"), AccountRefused),
    "401 without a body": (Reply(status=401, headers={}, body=b"", started=NOW, ended=NOW), AccountRefused),
    "403": (refusal(403, "BUSINESS_014"), AccountRefused),
    "429 of a locked key": (refusal(429, "AUTH_001"), AccountRefused),
    "the profile is not ours": (refusal(404, "RESOURCE_014"), AccountRefused),
    "429": (refusal(429, "BUSINESS_002"), Unreachable),
    "408": (refusal(408), Unreachable),
    "500": (refusal(500, "INTERNAL_001"), Unreachable),
    "503": (refusal(503, "SERVICE_001"), Unreachable),
    "no answer": (Lost(reason="timeout", started=NOW, ended=NOW), Unreachable),
    "no connection": (Unsent(reason="name_not_found", started=NOW, ended=NOW), Unreachable),
    "a redirect": (refusal(302), RequestRefused),
    "not JSON": (Reply(status=200, headers={}, body=b"<html>", started=NOW, ended=NOW), ContractBroken),
    "not an object": (reply([1]), ContractBroken),
    "no data": (reply(None), ContractBroken),
    "success is false": (reply({"id": "a", "name": "b"}, success=False), ContractBroken),
}


@pytest.mark.parametrize(("answer", "error"), REFUSED.values(), ids=REFUSED)
async def test_a_look_up_that_fails_says_what_is_wrong(
    answer: Reply | Lost | Unsent, error: type[BroadcasterError]
) -> None:
    with pytest.raises(error):
        await me(script(answer))
    with pytest.raises(error):
        await template(script(answer), id="t-1")


async def test_an_account_without_id_and_name_is_no_account() -> None:
    with pytest.raises(ContractBroken):
        await me(script(reply({"type": "user"})))


async def test_an_address_that_knows_no_account_is_not_the_apis() -> None:
    with pytest.raises(RequestRefused, match="address"):
        await me(script(refusal(404)))


async def test_an_error_repeats_what_the_api_says() -> None:
    with pytest.raises(AccountRefused, match=r"HTTP 401.*It says: No\."):
        await me(script(refusal(401)))


async def test_a_template_is_found_by_its_id() -> None:
    send = script(reply(SPRING))

    assert await template(send, id="t/1") == Template(
        id="t-1", name="spring", status="APPROVED", channels=("sms", "whatsapp"), variables=("name",)
    )
    assert send.asked == ["/v3/templates/t%2F1"]


async def test_fields_that_a_template_leaves_out_are_empty() -> None:
    assert await template(script(reply({"id": "t-1", "channels": None})), id="t-1") == Template(
        id="t-1", name="", status=""
    )


@pytest.mark.parametrize("answer", [refusal(404, "RESOURCE_002"), refusal(404), refusal(400, "VALIDATION_003")])
async def test_a_template_that_the_api_does_not_know_is_unusable(answer: Reply) -> None:
    with pytest.raises(TemplateUnusable):
        await template(script(answer), id="t-1")


PAGES = {
    "a list": [reply([{**SPRING, "id": "t-0", "name": "spring 2"}, SPRING])],
    "a list inside data": [reply({"templates": [SPRING], "pagination": {"has_more": False}})],
    "a list of items": [reply({"items": [SPRING]})],
    "on the second page": [
        reply({"templates": [{**SPRING, "name": "Spring"}], "pagination": {"has_more": True}}),
        reply({"templates": [SPRING], "pagination": {"has_more": False}}),
    ],
    "a list that is shorter than the look-up": [reply([{"id": "t-1", "name": "spring"}]), reply(SPRING)],
}


@pytest.mark.parametrize("answers", PAGES.values(), ids=PAGES)
async def test_a_template_is_found_by_its_exact_name(answers: list[Reply]) -> None:
    send = script(*answers)

    found = await template(send, name="spring")

    assert (found.id, found.variables) == ("t-1", ("name",))
    assert send.answers == []
    assert send.asked[0] == "/v3/templates?page=1&page_size=100&search=spring"


async def test_a_name_is_searched_for_as_it_is_written() -> None:
    send = script(reply([]))

    with pytest.raises(TemplateUnusable, match="no template named"):
        await template(send, name="Grüße & mehr")
    assert send.asked == ["/v3/templates?page=1&page_size=100&search=Gr%C3%BC%C3%9Fe%20%26%20mehr"]


async def test_a_name_that_only_resembles_is_another_template() -> None:
    with pytest.raises(TemplateUnusable, match="no template named"):
        await template(script(reply([{**SPRING, "name": "Spring"}])), name="spring")


async def test_two_templates_of_one_name_are_not_guessed_between() -> None:
    with pytest.raises(TemplateUnusable, match=r"2 templates.*use template_id"):
        await template(script(reply([SPRING, {**SPRING, "id": "t-2"}])), name="spring")


async def test_a_list_without_end_is_left() -> None:
    page = reply({"templates": [], "pagination": {"has_more": True}})
    send = script(*[page] * 60)

    with pytest.raises(TemplateUnusable):
        await template(send, name="spring")
    assert len(send.asked) == 50


async def test_a_template_without_id_and_name_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="an id or a name"):
        await template(script())


@pytest.mark.parametrize(
    ("channels", "parameters", "changes", "problems"),
    [
        pytest.param([Channel.SMS], {"name"}, {}, [], id="all is well"),
        pytest.param([Channel.AUTO], {"name", "more"}, {}, [], id="the api picks"),
        pytest.param([Channel.SMS], {"name"}, {"status": "approved"}, [], id="status in another case"),
        pytest.param([Channel.SMS], {"name"}, {"channels": ("SMS",)}, [], id="channel in another case"),
        pytest.param([Channel.RCS], {"name"}, {"channels": ()}, [], id="channels are not told"),
        pytest.param(
            [Channel.SMS],
            {"name"},
            {"status": "PAUSED"},
            ["The template is not approved: its status is PAUSED."],
            id="paused",
        ),
        pytest.param(
            [Channel.SMS],
            {"name"},
            {"status": ""},
            ["The template is not approved: its status is not told."],
            id="no status",
        ),
        pytest.param(
            [Channel.SMS, Channel.RCS, Channel.MMS],
            {"name"},
            {},
            ["The template cannot be sent by mms.", "The template cannot be sent by rcs."],
            id="channels it is not made for",
        ),
        pytest.param(
            [Channel.SMS],
            {"code"},
            {"variables": ("name", "code", "shop")},
            ["The template needs a value for name, shop."],
            id="values are missing",
        ),
    ],
)
def test_what_keeps_a_template_from_being_sent(
    channels: list[Channel], parameters: Collection[str], changes: dict[str, object], problems: list[str]
) -> None:
    whole: dict[str, object] = {
        "id": "t",
        "name": "n",
        "status": "APPROVED",
        "channels": ("sms", "whatsapp"),
        "variables": ("name",),
    }

    assert template_problems(Template(**{**whole, **changes}), channels=channels, parameters=parameters) == problems  # type: ignore[arg-type]  # a table of fields


def test_all_problems_are_told_at_once() -> None:
    draft = Template(id="t", name="n", status="DRAFT", channels=("sms",), variables=("a",))

    assert len(template_problems(draft, channels=[Channel.RCS], parameters=())) == 3
