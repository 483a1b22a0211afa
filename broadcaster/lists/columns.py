"""Which column of a list is what. The choice is reported: people are messaged by it.

A column is what the job says, by its exact name. Only the numbers are looked for when the job is silent, and only by
whole words that mean them: "total" is not "to". Two columns that could be it are a question, not a choice.
"""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.errors import JobInvalid, ListUnusable

_WELL_KNOWN = frozenset(
    {
        "phone",
        "phone_number",
        "phonenumber",
        "phone_no",
        "mobile",
        "mobile_number",
        "mobile_phone",
        "mobilephone",
        "cell",
        "cell_phone",
        "cellphone",
        "msisdn",
        "telephone",
        "telephone_number",
        "tel",
        "number",
        "to",
        "recipient",
        "whatsapp",
        "whatsapp_number",
    }
)
_BETWEEN_WORDS = re.compile(r"[\s_.-]+")
_NUMBER = re.compile(r"[^A-Za-z]*(?:\d[^A-Za-z]*){7}")  # no name of a column


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of a list that a job uses; ``chosen`` says in a sentence how each was found."""

    phone: str
    id: str | None
    region: str | None
    opt_out: str | None
    channel: str | None = None
    contact_id: str | None = None
    timezone: str | None = None
    group_by: str | None = None
    profile: str | None = None
    chosen: str


def choose(
    columns: Sequence[str],
    *,
    phone: str | None,
    id: str | None,  # noqa: A002 - the key's name in the job file
    region: str | None,
    opt_out: str | None,
    channel: str | None = None,
    contact_id: str | None = None,
    timezone: str | None = None,
    group_by: str | None = None,
    profile: str | None = None,
    needed: Sequence[str],
    list_name: str,
) -> Columns:
    """Find the columns that a job uses.

    Args:
        columns: those of the list.
        phone: the job's column for numbers; ``None`` to look for well-known names.
        id: the job's column for the user's own key.
        region: the job's column for the region of each row.
        opt_out: the job's column that says who is not to be messaged.
        channel: the job's column that names the channels of each row.
        contact_id: the job's column for the ids of contacts at Sent.
        timezone: the job's column that names the time zone of each row.
        group_by: the job's column whose equal values are sent together.
        profile: the job's column that names the profile of each row.
        needed: the columns that the message's placeholders name.
        list_name: what messages call the list.

    Raises:
        ListUnusable: a column that the job names is not there, or the numbers cannot be found.
        JobInvalid: placeholders or *group_by* name columns that are not there; names all of them.
    """
    named = {
        "phone": phone,
        "id": id,
        "region": region,
        "opt_out": opt_out,
        "channel": channel,
        "contact_id": contact_id,
        "timezone": timezone,
        "profile": profile,
    }
    missing = {key: name for key, name in named.items() if name is not None and name not in columns}
    if missing:
        lines = [f"  recipients.{key}: no column {name!r}{nearest(name, columns)}" for key, name in missing.items()]
        raise ListUnusable("\n".join([f"{list_name} has the columns {_listed(columns)}", *lines]))
    numbers = phone if phone is not None else _well_known(columns, list_name=list_name, key="recipients.phone")
    used = [("message.parameters", name) for name in dict.fromkeys(needed)]
    used += [("recipients.group_by", group_by)] if group_by is not None else []
    if absent := [(key, name) for key, name in used if name not in columns]:
        lines = [f"  {key}: no column {name!r}{nearest(name, columns)}" for key, name in absent]
        raise JobInvalid("\n".join([f"{list_name} has the columns {_listed(columns)}", *lines]))
    how = {key: "named by the job" for key, name in named.items() if name is not None}
    found = named | {"phone": numbers}
    chosen = "; ".join(
        f"{key}: column {found[key]!r} ({how.get(key, 'found by its name')})" for key in found if found[key]
    )
    return Columns(
        phone=numbers,
        id=id,
        region=region,
        opt_out=opt_out,
        channel=channel,
        contact_id=contact_id,
        timezone=timezone,
        group_by=group_by,
        profile=profile,
        chosen=chosen,
    )


def find_numbers_column(columns: Sequence[str], *, phone: str | None, list_name: str = "the list") -> str:
    """Return the column that holds the numbers of a suppression list.

    That is ``to`` of a manifest, else the job's own column for numbers, else a well-known one, else the only one.

    Raises:
        ListUnusable: none of these, or two well-known ones.
    """
    if "to" in columns and "status" in columns:
        return "to"
    if phone is not None and phone in columns:
        return phone
    if len(columns) == 1:
        return columns[0]
    return _well_known(columns, list_name=list_name, key="its header")


def check_header(header: Sequence[str], *, name: str, line: int) -> None:
    """Refuse names of columns that cannot be told apart or are none; *name* is what messages call the list.

    Raises:
        ListUnusable: a name is missing, is a number, or is there twice.
    """
    for number, column in enumerate(header, start=1):
        if not column.strip():
            raise ListUnusable(f"{name}: column {number} has no name in line {line}")
        if _NUMBER.fullmatch(column):
            raise ListUnusable(
                f"{name}: line {line} has a number where a column's name belongs; is the header missing?"
            )
    if twice := [column for column, count in Counter(header).items() if count > 1]:
        raise ListUnusable(f"{name}: line {line} has the column {', '.join(map(repr, twice))} more than once")


def _well_known(columns: Sequence[str], *, list_name: str, key: str) -> str:
    """Return the one column whose name means numbers; *key* is where to say it otherwise."""
    found = [name for name in columns if _BETWEEN_WORDS.sub("_", name.strip().lower()) in _WELL_KNOWN]
    match found:
        case [only]:
            return only
        case []:
            raise ListUnusable(
                f"{list_name}: no column is known to hold phone numbers; say which it is in {key}. "
                f"There are {_listed(columns)}"
            )
        case _:
            raise ListUnusable(f"{list_name}: {_listed(found)} could each hold the phone numbers; say which in {key}")


def nearest(name: str, columns: Sequence[str]) -> str:
    """Return the question whether another column is meant than *name*, if one looks like it; else nothing."""
    folded = {column.lower(): column for column in columns}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns))
