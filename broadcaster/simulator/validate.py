"""From the body of ``POST /v3/messages`` to a :class:`Send`, or to the complaints about it.

Pure: it is told the time and the rules, and knows nothing of templates, accounts or storage.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from broadcaster.simulator.envelope import Refusal

AUTO = "auto"
AUTO_WORD = "sent"  # the API's own word for "you pick the channel"
CHANNELS = frozenset({"sms", "whatsapp", "rcs", "mms"})
LARGEST_BATCH = 1000
DETAILS_FORMS: Mapping[str, str] = MappingProxyType({"to[3]": "to[{}]", "to.3": "to.{}", "to": "to"})
"""How the fourth recipient is named in ``details`` → the pattern of that form. Which one the API uses is not known."""

PHONE = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_UNSENDABLE = re.compile(r"[\n\r\t]| {5}")
_PUBLIC_URL = re.compile(r"https?://[^\s/]+\S*", re.ASCII)
_SOONEST = timedelta(minutes=1)
_LATEST = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What of the validation can be switched."""

    refuse_numbers: frozenset[str] = frozenset()
    details_form: str = "to[3]"  # one of DETAILS_FORMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A valid request. ``channels`` are as asked for, ``("auto",)`` when the API picks."""

    to: tuple[str, ...]
    channels: tuple[str, ...]
    template_id: str | None
    template_name: str | None
    parameters: Mapping[str, str]
    text: str | None
    sandbox: bool
    scheduled_at: str | None
    media_urls: tuple[str, ...] = ()

    @property
    def messages(self) -> int:
        """How many messages it asks for: one per recipient and channel."""
        return len(self.to) * len(self.channels)


class Complaints:
    """What is wrong with one request; the first complaint's code is the answer's."""

    def __init__(self) -> None:
        self._code: str | None = None
        self._details: dict[str, list[str]] = {}

    def add(self, code: str, field: str, sentence: str) -> None:
        """Note that *field* is wrong."""
        self._code = self._code or code
        self._details.setdefault(field, []).append(sentence)

    def settle(self) -> None:
        """Let the request pass this far.

        Raises:
            Refusal: there was a complaint.
        """
        if self._code is not None:
            raise Refusal(code=self._code, details=self._details)


def parse_document(raw: bytes) -> object:
    """Return the JSON in *raw*, of whatever type.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_json(raw: bytes) -> dict[str, object]:
    """Return the JSON object in *raw*.

    Raises:
        Refusal: 400 ``VALIDATION_001``.
    """
    try:
        document = parse_document(raw)
    except ValueError:
        raise Refusal(code="VALIDATION_001", message="The request body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise Refusal(code="VALIDATION_001", message="The request body must be a JSON object.")
    return document


def parse_send(document: Mapping[str, object], *, rules: Rules, now: datetime) -> Send:
    """Check a request and return what it asks for.

    In three steps, each of which names all it finds: what is missing or of the wrong type, what has a wrong value,
    which recipients are no phone numbers.

    Raises:
        Refusal: 400 with a ``VALIDATION_*`` code and ``details``.
    """
    complaints = Complaints()
    to = _recipients(document, complaints)
    template = _template(document, complaints)
    _types(document, complaints)
    complaints.settle()
    channels = _channels(document, complaints)
    parameters = _parameters(template, complaints)
    scheduled_at = _scheduled_at(document, complaints, now=now)
    media_urls = _media(document, channels, complaints)
    complaints.settle()
    _phones(to, rules, complaints)
    complaints.settle()
    return Send(
        to=tuple(str(number) for number in to),
        channels=channels,
        template_id=_text_or_none(template, "id"),
        template_name=_text_or_none(template, "name"),
        parameters=parameters,
        text=_text_or_none(document, "text"),
        sandbox=document.get("sandbox") is True,
        scheduled_at=scheduled_at,
        media_urls=media_urls,
    )


def _recipients(document: Mapping[str, object], complaints: Complaints) -> list[object]:
    to = document.get("to")
    if to is None or to == []:
        complaints.add("VALIDATION_004", "to", "'to' must contain at least one recipient")
    elif not isinstance(to, list):
        complaints.add("VALIDATION_001", "to", "'to' must be an array of phone numbers")
    elif len(to) > LARGEST_BATCH:
        complaints.add("VALIDATION_001", "to", f"'to' must contain at most {LARGEST_BATCH} recipients")
    else:
        return to
    return []


def _template(document: Mapping[str, object], complaints: Complaints) -> Mapping[str, object]:
    """The template object, empty when there is none; exactly one of template and text must be there."""
    template, text = document.get("template"), document.get("text")
    if template is None and text is None:
        complaints.add("VALIDATION_004", "template", "'template' is required")
    elif template is not None and text is not None:
        complaints.add("VALIDATION_001", "text", "'template' and 'text' exclude each other")
    if text is not None and (not isinstance(text, str) or not text.strip()):
        complaints.add("VALIDATION_001", "text", "'text' must be a string that is not empty")
    if template is None:
        return {}
    if not isinstance(template, dict):
        complaints.add("VALIDATION_001", "template", "'template' must be an object")
        return {}
    named = [name for name in ("id", "name") if template.get(name) is not None]
    if not named:
        complaints.add("VALIDATION_004", "template.id", "'id' or 'name' is required")
    for name in named:
        if not isinstance(template[name], str) or not template[name]:
            complaints.add("VALIDATION_001", f"template.{name}", f"'{name}' must be a string")
    if not isinstance(template.get("parameters") or {}, dict):
        complaints.add("VALIDATION_001", "template.parameters", "'parameters' must be an object")
    return template


def _types(document: Mapping[str, object], complaints: Complaints) -> None:
    """Types of the optional properties."""
    expected: tuple[tuple[str, type, str], ...] = (
        ("sandbox", bool, "a boolean"),
        ("scheduled_at", str, "a string"),
        ("channel", list, "an array"),
        ("channels", dict, "an object"),
        ("media_urls", list, "an array"),
        ("subject", str, "a string"),
    )
    for name, kind, words in expected:
        if document.get(name) is not None and not isinstance(document[name], kind):
            complaints.add("VALIDATION_001", name, f"'{name}' must be {words}")


def _channels(document: Mapping[str, object], complaints: Complaints) -> tuple[str, ...]:
    senders = document.get("channels")
    for name in senders if isinstance(senders, dict) else ():
        if name not in CHANNELS:
            complaints.add("VALIDATION_006", "channels", "'channels' may name sms, whatsapp, rcs and mms")
    asked = document.get("channel")
    if not isinstance(asked, list) or asked in ([], [AUTO_WORD]):
        return (AUTO,)
    for name in asked:
        if name == AUTO_WORD:
            complaints.add("VALIDATION_006", "channel", f"'{AUTO_WORD}' must stand alone")
        elif not isinstance(name, str) or name not in CHANNELS:
            complaints.add("VALIDATION_006", "channel", "must be one of sms, whatsapp, rcs, mms, sent")
    return tuple(str(name) for name in asked)


def _parameters(template: Mapping[str, object], complaints: Complaints) -> Mapping[str, str]:
    given = template.get("parameters")
    if not isinstance(given, dict):
        return {}
    for name, value in given.items():
        field = f"template.parameters.{name}"
        if not isinstance(value, str):
            complaints.add("VALIDATION_008", field, "must be a string")
        elif _UNSENDABLE.search(value):
            sentence = "must not contain newlines, tabs or more than four consecutive spaces"
            complaints.add("VALIDATION_008", field, sentence)
        elif name == "header_image" and not (value.startswith("https://") and _PUBLIC_URL.fullmatch(value)):
            complaints.add("VALIDATION_008", field, "must be a public https URL")
    return given


def _scheduled_at(document: Mapping[str, object], complaints: Complaints, *, now: datetime) -> str | None:
    value = document.get("scheduled_at")
    if not isinstance(value, str):
        return None
    instant: datetime | None = None
    if _INSTANT.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:  # the 31st of February
            instant = None
    if instant is None:
        complaints.add("VALIDATION_001", "scheduled_at", "must be an ISO-8601 timestamp with an explicit offset")
    elif not now + _SOONEST <= instant <= now + _LATEST:
        complaints.add("VALIDATION_005", "scheduled_at", "must be at least 1 minute and at most 30 days ahead")
    return value


def _media(document: Mapping[str, object], channels: tuple[str, ...], complaints: Complaints) -> tuple[str, ...]:
    urls = document.get("media_urls")
    attached = urls if isinstance(urls, list) else []
    if "mms" in channels and not attached:
        complaints.add("VALIDATION_004", "media_urls", "'media_urls' is required for mms")
    if any(not isinstance(url, str) or not _PUBLIC_URL.fullmatch(url) for url in attached):
        complaints.add("VALIDATION_001", "media_urls", "must be public URLs")
    return tuple(str(url) for url in attached)


def _phones(to: list[object], rules: Rules, complaints: Complaints) -> None:
    refused, valid, form = rules.refuse_numbers, PHONE.fullmatch, DETAILS_FORMS[rules.details_form]
    for at, number in enumerate(to):
        if not isinstance(number, str) or not valid(number) or number in refused:
            complaints.add("VALIDATION_002", form.format(at), "must be a valid phone number in E.164 format")


def _text_or_none(source: Mapping[str, object], name: str) -> str | None:
    value = source.get(name)
    return value if isinstance(value, str) else None
