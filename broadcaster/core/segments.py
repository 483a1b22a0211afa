"""How many parts an SMS is billed as: 160 characters of the GSM alphabet or 70 of Unicode, less when it is several."""

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = frozenset("\f^{}\\[~]|€")  # two places each
_GSM_SIZES = (160, 153)  # alone, and as one of several
_UNICODE_SIZES = (70, 67)


def segments(text: str) -> tuple[int, str]:
    """Return the parts of *text* and its alphabet, ``GSM-7`` or ``UCS-2``."""
    if all(character in _GSM or character in _ESCAPED for character in text):
        return _parts(len(text) + sum(map(_ESCAPED.__contains__, text)), _GSM_SIZES), "GSM-7"
    return _parts(sum(2 if character > "\uffff" else 1 for character in text), _UNICODE_SIZES), "UCS-2"


def most_segments(length: int) -> int:
    """Return the parts that a text of *length* UTF-16 units has at most, whatever is in it."""
    return _parts(length, _UNICODE_SIZES)


def _parts(length: int, sizes: tuple[int, int]) -> int:
    alone, of_several = sizes
    return 1 if length <= alone else -(-length // of_several)
