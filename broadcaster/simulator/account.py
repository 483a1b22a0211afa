"""The account behind the API key: ``GET /v3/me``."""

from collections.abc import Mapping

from broadcaster.simulator.envelope import Answer, success
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.settings import Settings

_NUMBER = "+14155550100"  # reserved for fiction


def account_type(settings: Settings) -> str:
    """Return ``organization`` unless the settings say ``user`` or ``profile``."""
    return str(settings.account.get("type", "organization"))


def account_id(settings: Settings, state_id: str) -> str:
    """Return the customer id: the state file's own, unless the settings name another."""
    return str(settings.account.get("id", state_id))


def describe(settings: Settings, state_id: str) -> Mapping[str, object]:
    """Return ``data`` of ``GET /v3/me``; whatever the settings name about the account replaces the defaults."""
    profiles = [
        {"id": profile, "name": f"Profile {at}", "status": "approved"}
        for at, profile in enumerate(sorted(settings.profile_ids), start=1)
    ]
    return {
        "id": state_id,
        "type": "organization",
        "name": "Simulated account",
        "email": None,
        "description": None,
        "organization_id": None,
        "sending_phone_number": _NUMBER,
        "status": None,
        "channels": {
            "sms": {"configured": True, "phone_number": _NUMBER},
            "whatsapp": {"configured": True, "phone_number": _NUMBER, "business_name": "Simulated account"},
            "rcs": {"configured": True, "phone_number": _NUMBER},
        },
        "profiles": profiles,
        **settings.account,
    }


async def show_account(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/me``."""
    return success(describe(parts.settings, parts.ledger.account_id), request_id=exchange.request_id)
