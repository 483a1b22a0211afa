"""From a template's ``definition``, as ``POST /v3/templates`` takes it, to our own text with ``{{slots}}``. Pure."""

import re
from collections.abc import Mapping
from typing import NoReturn

from broadcaster.simulator.envelope import Refusal

LONGEST_BODY = 1024
CATEGORIES = frozenset({"MARKETING", "UTILITY", "AUTHENTICATION"})
_PLACEHOLDER = re.compile(r"\{\{(\d+):\w+\}\}", re.ASCII)
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_WORD = re.compile(r"\w+")
_NAME_WORDS = 4


def read_body(definition: object) -> str:
    """Return the text of a definition, ``{{0:variable}}`` replaced by the variable's name as a slot.

    Of a body per channel it is the one for SMS: the simulator renders one text for all.

    Raises:
        Refusal: 400 ``VALIDATION_004`` or ``VALIDATION_001`` naming what is wrong.
    """
    body = definition.get("body") if isinstance(definition, dict) else None
    if not isinstance(body, dict):
        raise Refusal(code="VALIDATION_004", details={"definition.body": ["'body' is required"]})
    shared, sms, whatsapp = (body.get(name) for name in ("multiChannel", "sms", "whatsapp"))
    if (shared is None) == (sms is None) or (sms is None) != (whatsapp is None):
        _complain("definition.body", "takes either multiChannel, or sms and whatsapp together")
    content = shared if shared is not None else sms
    if not isinstance(content, dict):
        _complain("definition.body", "must hold objects")
    text = content.get("template")
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_BODY:
        _complain("definition.body.template", f"must be a text of 1 to {LONGEST_BODY} characters")
    names = _names(content.get("variables"))

    def slot(found: re.Match[str]) -> str:
        name = names.get(int(found[1]))
        if name is None:
            _complain("definition.body.variables", f"lacks the variable {found[1]}")
        return "{{" + name + "}}"

    return _PLACEHOLDER.sub(slot, text)


def name_for(body: str) -> str:
    """Return a display name made of the first words of a text."""
    words = _WORD.findall(re.sub(r"\{\{\w+\}\}", " ", body).lower())[:_NAME_WORDS]
    return "_".join(words) or "template"


def read_category(given: object, *, otherwise: str) -> str:
    """Return the category asked for, *otherwise* when there is none.

    Raises:
        Refusal: 400 ``VALIDATION_006``.
    """
    if given is None:
        return otherwise
    if not isinstance(given, str) or given.upper() not in CATEGORIES:
        raise Refusal(code="VALIDATION_006", details={"category": ["must be MARKETING, UTILITY or AUTHENTICATION"]})
    return given.upper()


def read_text(document: Mapping[str, object], name: str, *, otherwise: str) -> str:
    """Return the text property *name*, *otherwise* when there is none.

    Raises:
        Refusal: 400 ``VALIDATION_001``.
    """
    value = document.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, str) or not value:
        _complain(name, f"'{name}' must be a string that is not empty")
    return value


def _names(variables: object) -> dict[int, str]:
    """Variable names by the number in their placeholder."""
    names: dict[int, str] = {}
    for variable in variables if isinstance(variables, list) else []:
        if not isinstance(variable, dict):
            _complain("definition.body.variables", "must be objects")
        number, name = variable.get("id", 0), variable.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            _complain("definition.body.variables", "a name is a letter, then letters, digits and underscores")
        if not isinstance(number, int) or number in names:
            _complain("definition.body.variables", "variables must have unique IDs")
        names[number] = name
    return names


def _complain(field: str, sentence: str) -> NoReturn:
    raise Refusal(code="VALIDATION_001", details={field: [sentence]})
