"""The account's contacts, a page at a time.

Answers are decoded tolerantly; a page whose list cannot be found at all is an error, because it must never look like
"there is nobody".
"""

from dataclasses import dataclass

from broadcaster.api.asking import UNREADABLE, Sending, data_of, get
from broadcaster.api.fields import count_of, phone_of, text_of
from broadcaster.errors import ContractBroken
from broadcaster.operations.contacts import PATH, contacts_in

LARGEST_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A contact as the API shows it; ``None`` where it does not tell.

    ``phone`` is E.164. ``available_channels`` has commas between its words; times are as the API writes them.
    """

    contact_id: str
    phone: str
    country_code: str | None
    region_code: str | None
    available_channels: str | None
    default_channel: str | None
    opt_out: bool | None
    created_at: str | None
    updated_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the list. ``total`` is how many contacts there are, on how many ``pages``, where it is told."""

    contacts: tuple[Contact, ...]
    has_more: bool
    total: int | None
    pages: int | None


async def contacts(ask: Sending, *, page: int, page_size: int = LARGEST_PAGE) -> Page:
    """Return a page of all contacts of the account.

    Args:
        ask: sends the request.
        page: from 1.
        page_size: entries; the API may give fewer.

    Raises:
        AccountRefused, Unreachable, RequestRefused: as :func:`broadcaster.api.lookups.me`.
        ContractBroken: it shows no list, or an entry without an id or a number.
    """
    data = data_of(await get(ask, f"{PATH}?page={page}&page_size={page_size}"))
    entries = contacts_in(data)
    if entries is None:
        raise ContractBroken(UNREADABLE)
    told = data.get("pagination") if isinstance(data, dict) else None
    pagination = told if isinstance(told, dict) else {}
    pages, more = count_of(pagination.get("total_pages")), pagination.get("has_more")
    if not isinstance(more, bool):
        more = pages is None or page < pages  # where nothing is said, the next page will show
    return Page(
        contacts=tuple(map(_contact, entries)),
        has_more=more and bool(entries),
        total=count_of(pagination.get("total_count")),
        pages=pages,
    )


def _contact(entry: object) -> Contact:
    told = entry if isinstance(entry, dict) else {}
    contact_id = text_of(told.get("id"))
    phone = phone_of(told.get("format_e164")) or phone_of(told.get("phone_number"))
    if contact_id is None or phone is None:
        raise ContractBroken("The API lists a contact without an id or a number; no file was written.")
    channels = told.get("available_channels")
    opt_out = told.get("opt_out")
    return Contact(
        contact_id=contact_id,
        phone=phone,
        country_code=text_of(told.get("country_code")),
        region_code=text_of(told.get("region_code")),
        available_channels=",".join(map(str, channels)) if isinstance(channels, list) else text_of(channels),
        default_channel=text_of(told.get("default_channel")),
        opt_out=opt_out if isinstance(opt_out, bool) else None,
        created_at=text_of(told.get("created_at")),
        updated_at=text_of(told.get("updated_at")),
    )
