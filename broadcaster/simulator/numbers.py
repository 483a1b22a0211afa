"""What a number is: ``GET /v3/numbers/lookup/{phone}``. Every well-formed number is a mobile phone here."""

from broadcaster.simulator.envelope import Answer, Refusal, success
from broadcaster.simulator.numbering import calling_code
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.validate import PHONE


async def look_up_number(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/numbers/lookup/{phone}``; a number that the settings refuse is not valid.

    Raises:
        Refusal: 400 ``VALIDATION_002`` for what is no number at all.
    """
    phone = exchange.params["phone"]
    phone = phone if phone.startswith("+") else "+" + phone
    if not PHONE.fullmatch(phone):
        complaint = "must be a valid phone number in E.164 format"
        raise Refusal(code="VALIDATION_002", details={"phone": [complaint]})
    valid = phone not in parts.settings.rules.refuse_numbers
    data = {
        "phone_number": phone,
        "is_valid": valid,
        "country_code": calling_code(phone),
        "carrier_name": "Simulated carrier" if valid else None,
        "line_type": "mobile" if valid else None,
        "mobile_country_code": None,
        "mobile_network_code": None,
        "is_voip": False if valid else None,
        "is_ported": False if valid else None,
    }
    return success(data, request_id=exchange.request_id)
