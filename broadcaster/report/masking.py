"""What a report may show of a cell or of somebody else's sentence: nothing that names a person. Pure."""

import re

from broadcaster.phones import mask, mask_in

_LONGEST = 30  # characters of a cell
_TELLING = 7  # digits from which on a number may be somebody's
_SHOWN = 2  # of its last digits
_LONG_NUMBER = re.compile(r"\+?\(?\d(?:[\s()./-]{0,2}\d){6,}")
_ADDRESS = re.compile(r"\S+@\S+")


def masked_cell(written: str, e164: str | None) -> str:
    """Return a list's cell as a report shows it: the number behind it, masked, or the shape of what is no number.

    Letters and digits become dots, so that a wrong column or a missing digit can be seen and nobody be known.
    """
    if e164:
        return mask(e164)
    if not written:
        return "(empty)"
    digits = sum(each.isdigit() for each in written)
    shown: list[str] = []
    for each in reversed(written):
        visible = each.isdigit() and digits >= _TELLING and sum(map(str.isdigit, shown)) < _SHOWN
        shown.append(each if visible or not each.isalnum() else "•")
    shape = "".join(reversed(shown))
    shape = "".join(each if each.isprintable() else " " for each in shape)
    return shape if len(shape) <= _LONGEST else f"{shape[: _LONGEST - 1]}…"


def masked_text(sentence: str) -> str:
    """Return somebody else's sentence without phone numbers and addresses."""
    return _LONG_NUMBER.sub(lambda found: "•" * len(found[0]), _ADDRESS.sub("•", mask_in(sentence)))
