"""Which path is answered by whom: the whole surface of the API on one page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from broadcaster.simulator import (
    contact_summary,
    contacts,
    legacy,
    message_changes,
    message_view,
    numbers,
    reads,
    template_changes,
)
from broadcaster.simulator.account import show_account
from broadcaster.simulator.envelope import Refusal
from broadcaster.simulator.messages import send_message
from broadcaster.simulator.parts import Exchange, Handler
from broadcaster.simulator.webhooks import resource
from broadcaster.simulator.webhooks.catalogue import list_event_types
from broadcaster.simulator.webhooks.delivery_log import list_events

_ID = r"/(?P<id>[^/]+)"
_NO_PARAMS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Route:
    """A path and who answers which method on it."""

    path: re.Pattern[str]
    handlers: Mapping[str, Handler]


def _route(path: str, handlers: Mapping[str, Handler]) -> Route:
    return Route(re.compile(path), MappingProxyType(dict(handlers)))


ROUTES = (
    _route("/v3/messages", {"POST": send_message}),
    _route("/v3/messages" + _ID, {"GET": message_view.show_message}),
    _route("/v3/messages" + _ID + "/activities", {"GET": message_view.show_activities}),
    _route("/v3/messages" + _ID + "/cancel", {"POST": message_changes.cancel_message}),
    _route("/v3/messages" + _ID + "/resend", {"POST": message_changes.resend_message}),
    _route("/v3/conversations", {"GET": message_view.list_conversations}),
    _route("/v3/conversations" + _ID, {"GET": message_view.show_conversation}),
    _route("/v3/me", {"GET": show_account}),
    _route("/v3/contacts", {"GET": contacts.list_contacts, "POST": contacts.create_contact}),
    _route(
        "/v3/contacts" + _ID,
        {"GET": contacts.show_contact, "PATCH": contacts.update_contact, "DELETE": contacts.delete_contact},
    ),
    _route("/v3/contacts" + _ID + "/message-summary", {"GET": contact_summary.show_summary}),
    _route("/v3/templates", {"GET": reads.list_templates, "POST": template_changes.create_template}),
    _route(
        "/v3/templates" + _ID,
        {
            "GET": reads.show_template,
            "PUT": template_changes.update_template,
            "DELETE": template_changes.delete_template,
        },
    ),
    _route("/v3/numbers/lookup/(?P<phone>[^/]+)", {"GET": numbers.look_up_number}),
    _route("/v3/webhooks", {"GET": resource.list_webhooks, "POST": resource.create_webhook}),
    _route("/v3/webhooks/event-types", {"GET": list_event_types}),
    _route(
        "/v3/webhooks" + _ID,
        {
            "GET": resource.show_webhook,
            "PUT": resource.update_webhook,  # what the official SDK sends
            "PATCH": resource.update_webhook,  # what the documentation says
            "DELETE": resource.delete_webhook,
        },
    ),
    _route("/v3/webhooks" + _ID + "/toggle-status", {"PATCH": resource.toggle_webhook}),
    _route("/v3/webhooks" + _ID + "/test", {"POST": resource.test_webhook}),
    _route("/v3/webhooks" + _ID + "/rotate-secret", {"POST": resource.rotate_secret}),
    _route("/v3/webhooks" + _ID + "/events", {"GET": list_events}),
    _route("/v1/messages/phone", {"POST": legacy.send_to_phone}),
    _route("/v1/messages/contact", {"POST": legacy.send_to_contact}),
)


def find_handler(exchange: Exchange) -> Handler:
    """Return who answers, and note the named parts of the path.

    Raises:
        Refusal: 404 for an unknown path, 405 for a method it does not take.
    """
    for route in ROUTES:
        match = route.path.fullmatch(exchange.path)
        if match is None:
            continue
        handler = route.handlers.get(exchange.method)
        if handler is None:
            allowed = {"Allow": ", ".join(sorted(route.handlers))}
            raise Refusal(code="VALIDATION_001", message="Method not allowed.", status=405, headers=allowed)
        exchange.params = match.groupdict() or _NO_PARAMS
        return handler
    raise Refusal(code="RESOURCE_013")
