"""The account's templates: the built-in ones, those of a file, and how they are rendered. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from broadcaster.simulator.envelope import Refusal

APPROVED = "APPROVED"
STATUSES = frozenset({"DRAFT", "PENDING", APPROVED, "REJECTED", "PAUSED", "DISABLED", "REVOKED"})
_CHANNELS = ("sms", "whatsapp", "rcs")
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_BORN = "2026-01-15T09:00:00.0000000+00:00"


class TemplateError(ValueError):
    """A template in the user's file is unusable. The text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A message text with ``{{slots}}``; every slot must be filled by each send."""

    id: str
    name: str
    body: str
    status: str = APPROVED
    category: str = "MARKETING"
    language: str = "en_US"
    channels: tuple[str, ...] = _CHANNELS
    created_at: str = _BORN
    updated_at: str = _BORN
    review_us: int | None = None  # in review until this moment, then approved

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the slots, in order of first appearance."""
        return tuple(dict.fromkeys(_SLOT.findall(self.body)))

    def render(self, parameters: Mapping[str, str]) -> str:
        """Return the text with every slot filled that *parameters* names."""
        return _SLOT.sub(lambda slot: parameters.get(slot[1], slot[0]), self.body)

    def require(self, parameters: Mapping[str, str]) -> None:
        """Check that every slot is filled.

        Raises:
            Refusal: 400 ``VALIDATION_004`` naming each variable that is missing.
        """
        missing = [name for name in self.variables if name not in parameters]
        if missing:
            details = {f"template.parameters.{name}": ["is required by the template"] for name in missing}
            raise Refusal(code="VALIDATION_004", details=details)

    def as_json(self, customer_id: str) -> dict[str, object]:
        """Return the template as ``GET /v3/templates/{id}`` shows it."""
        return {
            "id": self.id,
            "customer_id": customer_id,
            "name": self.name,
            "category": self.category,
            "language": self.language,
            "status": self.status,
            "channels": list(self.channels),
            "variables": list(self.variables),
            "is_published": self.status == APPROVED,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


_FAMILY = "3f2504e0-4f89-41d3-9a0c-0305e82c33"
BUILT_IN = (
    Template(
        id="7ba7b820-9dad-11d1-80b4-00c04fd430c8",
        name="order_confirmation",
        body="Hi {{name}}, your order #{{order_id}} has been confirmed.",
        category="UTILITY",
    ),
    Template(id=_FAMILY + "01", name="spring_sale", body="Hi {{name}}, 20% off this week with code {{code}}."),
    Template(
        id=_FAMILY + "02", name="service_notice", body="Our service is back to normal. Thank you.", category="UTILITY"
    ),
    Template(
        id=_FAMILY + "03",
        name="storm_alert",
        body="Storm warning for {{region}}: please stay indoors tonight.",
        category="UTILITY",
    ),
    Template(
        id=_FAMILY + "04", name="winter_draft", body="Winter sale: {{code}} takes 30% off, {{name}}.", status="PENDING"
    ),
    Template(id=_FAMILY + "05", name="miracle_offer", body="Win a fortune, {{name}}!", status="REJECTED"),
)


class Catalogue:
    """Templates by id and by name; a later one of the same id replaces an earlier one.

    *clock* tells the microseconds since 1970: reviews end with time.
    """

    def __init__(self, templates: Iterable[Template], *, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._by_id = {template.id: template for template in templates}

    def by_id(self, template_id: str) -> Template | None:
        """Return the template of that id, whatever its letter case."""
        found = self._by_id.get(template_id) or self._by_id.get(template_id.lower())
        return self._reviewed(found) if found is not None and found.review_us is not None else found

    def find(self, template_id: str | None, name: str | None) -> Template | None:
        """Return the template a send asks for; with both given, the id decides and the name must be its name."""
        if template_id is None:
            named = [template for template in self._by_id.values() if template.name == name]
            return self._reviewed(named[-1]) if named else None
        template = self.by_id(template_id)
        return None if template is not None and name not in {None, template.name} else template

    def select(self, *, search: str = "", status: str = "", category: str = "") -> list[Template]:
        """Return the templates whose name contains *search*, of that *status* and *category*, ignoring case."""
        return [
            template
            for template in map(self._reviewed, self._by_id.values())
            if search.lower() in template.name.lower()
            and status.upper() in {"", template.status}
            and category.upper() in {"", template.category}
        ]

    def put(self, template: Template) -> None:
        """Add a template, or replace the one of its id."""
        self._by_id[template.id] = template

    def drop(self, template_id: str) -> None:
        """Forget a template."""
        self._by_id.pop(template_id, None)

    def _reviewed(self, template: Template) -> Template:
        if template.review_us is None or self._clock() < template.review_us:
            return template
        return replace(template, status=APPROVED, review_us=None)


def load_templates(document: object) -> tuple[Template, ...]:
    """Return the templates of a JSON list of objects with ``id``, ``name``, ``body`` and whatever else differs.

    Raises:
        TemplateError: an entry is not of that form.
    """
    if not isinstance(document, list):
        raise TemplateError("templates must be a JSON list")
    return tuple(_load(entry, at) for at, entry in enumerate(document))


def _load(entry: object, at: int) -> Template:
    if not isinstance(entry, dict):
        raise TemplateError(f"template {at} must be a JSON object")
    known = {"id", "name", "body", "status", "category", "language"}
    texts = {name: value for name, value in entry.items() if name in known and isinstance(value, str)}
    channels = entry.get("channels", list(_CHANNELS))
    unknown = sorted(set(entry) - set(texts) - {"channels"})
    if unknown:
        raise TemplateError(f"template {at}: {unknown[0]!r} is unknown or no string")
    if not {"id", "name", "body"} <= set(texts):
        raise TemplateError(f"template {at} needs id, name and body")
    if texts.get("status", APPROVED) not in STATUSES:
        raise TemplateError(f"template {at}: status must be one of {', '.join(sorted(STATUSES))}")
    if not isinstance(channels, list) or not all(isinstance(channel, str) for channel in channels):
        raise TemplateError(f"template {at}: channels must be a list of strings")
    return Template(channels=tuple(channels), **texts)  # type: ignore[arg-type]  # the known names are those of texts
