"""The account behind the API key: ``GET /v3/me``."""

from collections.abc import Mapping

from broadcaster.simulator.envelope import Answer, success
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.settings import Settings

_NUMBER = "+14155550100"  # reserved for fiction
_BORN = "2026-01-15T09:00:00.0000000+00:00"


def account_type(settings: Settings) -> str:
    """Return ``organization`` unless the settings say ``user`` or ``profile``."""
    return str(settings.account.get("type", "organization"))


def account_id(settings: Settings, state_id: str) -> str:
    """Return the customer id: the state file's own, unless the settings name another."""
    return str(settings.account.get("id", state_id))


def owner_of(parts: Parts, exchange: Exchange | None) -> str:
    """Return who owns what an exchange asks about: the profile it acts for, else the account."""
    profile = exchange.profile if exchange is not None else None
    return profile or account_id(parts.settings, parts.ledger.account_id)


def sending_number(settings: Settings) -> str:
    """Return the number that messages come from."""
    return str(settings.account.get("sending_phone_number", _NUMBER))


def describe(settings: Settings, state_id: str) -> Mapping[str, object]:
    """Return ``data`` of ``GET /v3/me``; whatever the settings name about the account replaces the defaults."""
    profiles = [
        {
            "id": profile,
            "name": f"Profile {at}",
            "short_name": f"P{at}",
            "description": None,
            "icon": None,
            "role": "admin",
            "status": "approved",
            "settings": None,
            "created_at": _BORN,
        }
        for at, profile in enumerate(sorted(settings.profile_ids), start=1)
    ]
    return {
        "id": state_id,
        "type": "organization",
        "name": "Simulated account",
        "short_name": None,
        "email": None,
        "description": None,
        "icon": None,
        "organization_id": None,
        "sending_phone_number": _NUMBER,
        "sending_phone_number_profile_id": account_id(settings, state_id),
        "enable_template_auto_creation_for_sp": False,
        "status": None,
        "settings": None,
        "created_at": _BORN,
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
    described = describe(parts.settings, parts.ledger.account_id)
    if exchange.owner is not None:
        account = account_id(parts.settings, parts.ledger.account_id)
        own = {"id": exchange.owner, "type": "profile", "organization_id": account, "profiles": []}
        described = {**described, **own, "name": "Simulated profile", "status": "approved"}
    return success(described, request_id=exchange.request_id)
