"""What can be asked of the API: every endpoint that sends is one value in one table."""

from collections.abc import Mapping
from types import MappingProxyType

from broadcaster.operations.messages import MESSAGES_V3
from broadcaster.operations.model import Operation

# By kind and version of a job: the only place that reads both.
OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType({("message", "v3"): MESSAGES_V3})
