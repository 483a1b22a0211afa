"""How much fits into one request, and how long a number of requests takes."""

from broadcaster.core.pacing import bucket, weight

# Above 5 MB the API forgets an answer, and its key no longer protects: half of that is our limit.
ANSWER_BYTES = 2_500_000
_ROW_BYTES = 160  # ids, number, channel and punctuation of one row
_ESCAPED_BYTES = 6  # a UTF-16 unit as the API may write it: \uXXXX
FORGOTTEN_BYTES = 5_000_000
_LONGEST_BODY = 3072  # UTF-16 units: the API's own limit
_SHARE_OF_MESSAGES = 0.04  # a larger batch would cost the bucket of a message limit too much of its rate


def largest_batch(
    *,
    batch_size: int,
    channels: int,
    auto: bool,
    body_length: int,
    messages_per_minute: int = 0,
    hard_limit: int = 1000,
) -> int:
    """Return how many recipients one request may carry, at least 1.

    Args:
        batch_size: what the job asks for.
        channels: channels per recipient; each has a row in the answer and counts on the message limit.
        auto: the API picks the channel; its answer then has no body.
        body_length: longest rendered text, in UTF-16 units.
        messages_per_minute: the account's limit; 0 means none.
        hard_limit: the most that the operation allows.
    """
    largest = min(batch_size, hard_limit)
    if not auto:
        largest = min(largest, ANSWER_BYTES // (channels * (_ROW_BYTES + _ESCAPED_BYTES * body_length)))
    if messages_per_minute:
        largest = min(largest, int(messages_per_minute * _SHARE_OF_MESSAGES) // channels)
    return max(1, largest)


def most_row_bytes(*, auto: bool, text: str | None) -> int:
    """Return how long one row of an answer can be at most, whatever the job says of its template's length.

    Args:
        auto: the API picks the channel; its answer then has no body.
        text: what is sent, where it is no template.
    """
    if auto:
        return _ROW_BYTES
    return _ROW_BYTES + _ESCAPED_BYTES * (_LONGEST_BODY if text is None else utf16_length(text))


def duration_s(
    requests: int,
    messages: int,
    *,
    requests_per_minute: int,
    messages_per_minute: int,
    largest: int = 1,
) -> float:
    """Return the seconds that pacing needs for *requests* with *messages* in all, *largest* of them in one at most.

    Limits of 0 mean none. The time of the answers is not counted.
    """
    needed_s = 0.0
    if requests_per_minute:
        capacity, period_s = bucket(requests_per_minute)
        needed_s = max(0, requests - capacity) * period_s / capacity
    if messages_per_minute:
        capacity, period_s = bucket(messages_per_minute, largest=largest)
        if weight(1, per_minute=messages_per_minute, capacity=capacity) == capacity > 1:
            messages = requests * capacity  # every turn takes all
        needed_s = max(needed_s, max(0, messages - capacity) * period_s / capacity)
    return needed_s


def utf16_length(text: str) -> int:
    """Return the length of *text* in UTF-16 units: one for most characters, two for emoji and other astral ones."""
    return len(text) + sum(1 for character in text if character > "\uffff")
