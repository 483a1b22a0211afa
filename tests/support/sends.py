"""Bodies of ``POST /v3/messages`` as plain JSON objects, and what comes back."""

import json
from typing import Any

SEND = "/v3/messages"
ORDER = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"  # variables: name, order_id
NOTICE = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"  # no variables
PENDING = "3f2504e0-4f89-41d3-9a0c-0305e82c3304"
ANN, BOB, EVE = "+14155550100", "+14155550101", "+14155550102"


def notice(*to: str, **other: Any) -> dict[str, Any]:
    """A send that needs no parameters, to ANN unless said."""
    return {"to": list(to) or [ANN], "template": {"id": NOTICE}, **other}


def order(**other: Any) -> dict[str, Any]:
    """A send with parameters."""
    return {"to": [ANN], "template": {"id": ORDER, "parameters": {"name": "Ada", "order_id": "7"}}, **other}


def rows(body: bytes) -> list[dict[str, Any]]:
    """The recipients of a 202."""
    recipients: list[dict[str, Any]] = json.loads(body)["data"]["recipients"]
    return recipients
