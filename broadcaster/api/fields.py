"""Fields of answers, read tolerantly: what is not of the expected form is ``None``, never an error."""


def text_of(value: object) -> str | None:
    """Return a word; numbers count as such, "" does not."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def phone_of(value: object) -> str | None:
    """Return the digits of a number with a plus before them."""
    digits = "".join(each for each in text_of(value) or "" if each in "0123456789")
    return f"+{digits}" if digits else None


def count_of(value: object) -> int | None:
    """Return a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
