"""``suppress.csv``: the numbers that are to be left alone from now on, for the next job's ``recipients.suppress``.

Whoever has opted out, whatever else arrived; and whoever nobody can reach under the number, by the API's own word or by
receipts, unless something arrived on another channel. Derived from the manifest, like everything for people.
"""

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from broadcaster.core.receipts import ARRIVED
from broadcaster.core.remedy import PERMANENT, Cause, cause_of
from broadcaster.core.words import Status
from broadcaster.store.files import replacing
from broadcaster.store.parquet import reading, record_batches
from broadcaster.store.rundir import RunDir

_COLUMNS = ["to", "status", "reason", "delivery_status", "delivery_reason"]
_CODE = re.compile(r"[A-Z][A-Za-z_]{0,45}[0-9]{0,3}")  # anything else is somebody's sentence
_INVALID = "VALIDATION_002"
_OPTED_OUT = "opted_out"
_FIELDS = pa.schema([("number", pa.string()), ("reason", pa.string()), ("code", pa.string())])


def write_suppressions(run_dir: RunDir) -> int:
    """Write the file of the run whose manifest is current, or remove it when it has nobody; return how many it has.

    Raises:
        StoreError: when the disk refuses, or the manifest is damaged.
    """
    found = pa.concat_tables([_FIELDS.empty_table(), *_lasting(run_dir)])
    if len(found):
        reached = pc.is_in(found["number"], _reached(run_dir, found["number"]))
        found = found.filter(pc.or_(pc.equal(found["reason"], _OPTED_OUT), pc.invert(reached)))
        first = pa.table({"number": found["number"], "at": pa.array(range(len(found)), pa.int64())})
        found = found.take(first.group_by("number").aggregate([("at", "min")]).sort_by("at_min")["at_min"])
    if not len(found):
        run_dir.suppress.unlink(missing_ok=True)
        return 0
    with replacing(run_dir.suppress) as temporary:
        csv.write_csv(found, temporary)
    return len(found)


def _lasting(run_dir: RunDir) -> Iterator[pa.Table]:
    """Yield numbers that something lasting was said of, with what."""
    with reading(run_dir.manifest) as file:
        for batch in record_batches(file, _COLUMNS):
            words = (pc.fill_null(batch.column(name), "") for name in _COLUMNS[1:])
            kinds = pc.binary_join_element_wise(*words, "\0").dictionary_encode()
            reasons = [_reason(*each.split("\0")) for each in kinds.dictionary.to_pylist()]
            lasting = pa.array([each is not None for each in reasons], pa.bool_()).take(kinds.indices)
            if lasting.true_count:
                reason, code = (
                    pa.array([each[at] if each else None for each in reasons], pa.string()).take(kinds.indices)
                    for at in (0, 1)
                )
                yield pa.table([batch.column("to"), reason, code], schema=_FIELDS).filter(lasting)


def _reason(status: str, refusal: str, delivery: str, word: str) -> tuple[str, str] | None:
    """Return the lasting reason of one kind of end with its code, if it is one."""
    if status == Status.REJECTED:
        cause, code = cause_of("FAILED", refusal), refusal
    else:
        cause, code = cause_of(delivery.upper(), word or None), word
    if cause not in PERMANENT:
        return None
    reason = _OPTED_OUT if cause is Cause.CONSENT else "invalid_number" if code == _INVALID else "unreachable"
    return reason, code if _CODE.fullmatch(code) else ""


def _reached(run_dir: RunDir, numbers: pa.ChunkedArray) -> pa.Array:
    """Return those of *numbers* that cannot be dead: something arrived there."""
    arrived = pa.array([each.lower() for each in ARRIVED])
    found = [pa.array([], pa.string())]
    with reading(run_dir.manifest) as file:
        for batch in record_batches(file, ["to", "delivery_status"]):
            there = pc.and_(
                pc.fill_null(pc.is_in(batch.column("delivery_status"), arrived), fill_value=False),
                pc.fill_null(pc.is_in(batch.column("to"), numbers.combine_chunks()), fill_value=False),
            )
            found.append(batch.column("to").filter(there))
    return pa.concat_arrays(found)
