"""What a phone number says about itself: its calling code and region. A coarse table of our own; pure."""

_SHARED = {"1": "US", "7": "RU"}  # codes of one digit, by the largest country that shares them
_TWO = {
    "20": "EG", "27": "ZA", "30": "GR", "31": "NL", "32": "BE", "33": "FR", "34": "ES", "36": "HU", "39": "IT",
    "40": "RO", "41": "CH", "43": "AT", "44": "GB", "45": "DK", "46": "SE", "47": "NO", "48": "PL", "49": "DE",
    "51": "PE", "52": "MX", "53": "CU", "54": "AR", "55": "BR", "56": "CL", "57": "CO", "58": "VE", "60": "MY",
    "61": "AU", "62": "ID", "63": "PH", "64": "NZ", "65": "SG", "66": "TH", "81": "JP", "82": "KR", "84": "VN",
    "86": "CN", "90": "TR", "91": "IN", "92": "PK", "93": "AF", "94": "LK", "95": "MM", "98": "IR",
}  # fmt: skip
_THREE = {
    "212": "MA", "213": "DZ", "216": "TN", "221": "SN", "233": "GH", "234": "NG", "254": "KE", "255": "TZ",
    "256": "UG", "351": "PT", "352": "LU", "353": "IE", "354": "IS", "358": "FI", "359": "BG", "370": "LT",
    "371": "LV", "372": "EE", "380": "UA", "381": "RS", "385": "HR", "386": "SI", "420": "CZ", "421": "SK",
    "502": "GT", "506": "CR", "507": "PA", "593": "EC", "598": "UY", "852": "HK", "880": "BD", "886": "TW",
    "961": "LB", "962": "JO", "965": "KW", "966": "SA", "971": "AE", "972": "IL", "974": "QA", "977": "NP",
}  # fmt: skip


def calling_code(phone: str) -> str:
    """Return the digits after ``+`` that name the country; *phone* is E.164."""
    digits = phone.removeprefix("+")
    return next((digits[:size] for size, known in ((1, _SHARED), (2, _TWO)) if digits[:size] in known), digits[:3])


def region_of(phone: str) -> str | None:
    """Return the ISO code of the country, ``None`` for one that is not in the table."""
    code = calling_code(phone)
    return _SHARED.get(code) or _TWO.get(code) or _THREE.get(code)


def national(phone: str) -> str:
    """Return the digits after the calling code."""
    return phone.removeprefix("+" + calling_code(phone))
