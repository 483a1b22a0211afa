"""What can be asked of the API: every endpoint that sends is one value in one table."""

from collections.abc import Mapping
from types import MappingProxyType

from broadcaster.operations.contacts import CONTACTS_V3
from broadcaster.operations.legacy import TO_CONTACT, TO_PHONE
from broadcaster.operations.messages import MESSAGES_V3
from broadcaster.operations.model import Operation

_BY_CONTACT = "-contact"

# By kind and version of a job, as plans store them: the only place that reads both.
OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        ("message", "v3"): MESSAGES_V3,
        ("contacts", "v3"): CONTACTS_V3,
        ("message", "v1"): TO_PHONE,
        ("message", f"v1{_BY_CONTACT}"): TO_CONTACT,
    }
)


def operation_key(*, kind: str, version: str, by_contact: bool) -> tuple[str, str]:
    """Return under which name :data:`OPERATIONS` has what a job asks for.

    Args:
        kind: the job's.
        version: the job's, of the API.
        by_contact: its list names contacts by their ids at Sent.
    """
    return kind, f"{version}{_BY_CONTACT}" if by_contact else version
