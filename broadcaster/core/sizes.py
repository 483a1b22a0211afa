"""How much fits into one request, and how long a number of requests takes."""

from broadcaster.core.pacing import WINDOW_S, bucket

# Above 5 MB the API forgets an answer, and its key no longer protects: half of that is our limit.
ANSWER_BYTES = 2_500_000
_ROW_BYTES = 160  # ids, number, channel and punctuation of one row
_ESCAPED_BYTES = 6  # a UTF-16 unit as the API may write it: \uXXXX
FORGOTTEN_BYTES = 5_000_000
_LONGEST_BODY = 3072  # UTF-16 units: the API's own limit
# Of a message limit: a minute that has no room for another batch is then full to 96 % at least, whatever the sizes.
_SHARE_OF_MESSAGES = 0.04
_FULL = 0.99  # of a minute: no smaller batch is looked for
_NEAR = 4  # a batch is made smaller by a quarter at most, to fill a minute better: requests are limited too


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
        largest = _filling(max(1, largest), messages_per_minute // channels)
    return max(1, largest)


def _filling(largest: int, per_minute: int) -> int:
    """Return the size at or a little below *largest* of which a whole number fills a minute best."""
    best = filled = 0
    for size in range(largest, largest - largest // _NEAR - 1, -1):
        if per_minute // size * size > filled:
            best, filled = size, per_minute // size * size
        if filled >= per_minute * _FULL:
            break
    return best or largest


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
    """Return the seconds that pacing needs for *requests* with *messages* in all, from a minute without any spend.

    Limits of 0 mean none. The time of the answers is not counted.

    Args:
        requests: look-ups included, whether or not they carry messages.
        messages: of all requests together.
        requests_per_minute: the limit of requests.
        messages_per_minute: the limit of messages.
        largest: messages of the largest request; the others are taken to be like it, or like the mean.
    """
    needed_s = 0.0
    if requests_per_minute:
        needed_s = _lane_s(requests, 1.0, limit=requests_per_minute, largest=1)
    if messages_per_minute and messages:
        largest = min(largest, messages)
        batches = -(-messages // largest)
        each: float = largest
        if batches < requests // 2:  # many are smaller: groups of a few people each
            batches, each = requests, messages / requests
        needed_s = max(needed_s, _lane_s(batches, each, limit=messages_per_minute, largest=largest))
    return needed_s


def _lane_s(turns: int, each: float, *, limit: int, largest: int) -> float:
    """Return when the last of *turns* passes: the bucket spreads them, and the window lets so many through a time."""
    capacity, period_s = bucket(limit, largest=largest)
    in_window = max(1, int(limit / each))
    windows, rest = divmod(max(0, turns - 1), in_window)
    spread_s = max(0.0, (rest + 1) * each - capacity) * period_s / capacity
    return windows * WINDOW_S + min(spread_s, WINDOW_S)


def utf16_length(text: str) -> int:
    """Return the length of *text* in UTF-16 units: one for most characters, two for emoji and other astral ones."""
    return len(text) + sum(1 for character in text if character > "\uffff")
