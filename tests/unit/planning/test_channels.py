"""Which channels a row is sent on, by a column of the list: from the cell to the manifest and the counts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.plans import accepted, extend_plan, make_plan, people, record, rejected

from broadcaster.app.retry import choose_retry
from broadcaster.core.words import Channel
from broadcaster.operations import OPERATIONS
from broadcaster.planning.channels import UNKNOWN, ChannelSets
from broadcaster.planning.retry import build_retry, generation
from broadcaster.store.audit import audit
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan

SMS, WHATSAPP, RCS, AUTO = Channel.SMS, Channel.WHATSAPP, Channel.RCS, Channel.AUTO


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        pytest.param("", (WHATSAPP, SMS), id="an empty cell means the job's channels, in the job's order"),
        pytest.param("  ", (WHATSAPP, SMS), id="so does a blank one"),
        pytest.param("sms", (SMS,), id="one word"),
        pytest.param(" SMS ", (SMS,), id="case and outer space mean nothing"),
        pytest.param("rcs+sms", (SMS, RCS), id="several with a plus, in the order of the words"),
        pytest.param("rcs, sms", (SMS, RCS), id="several with a comma"),
        pytest.param("sms+sms", (SMS,), id="a word twice is once"),
        pytest.param("sms+whatsapp", (WHATSAPP, SMS), id="the job's own set keeps the job's order"),
        pytest.param("auto", (AUTO,), id="the API picks"),
        pytest.param("auto+sms", None, id="to pick and not to pick"),
        pytest.param("fax", None, id="a word that is no channel"),
        pytest.param("sms+fax", None, id="one of several that is none"),
        pytest.param("sms+", None, id="an empty word"),
    ],
)
def test_what_a_cell_means(cell: str, meant: tuple[Channel, ...] | None) -> None:
    sets = ChannelSets((WHATSAPP, SMS))
    (number,) = sets.number(pa.array([cell])).tolist()

    assert (None if number == UNKNOWN else sets.sets[number]) == meant


def test_sets_are_numbered_once_over_all_record_batches() -> None:
    sets = ChannelSets((AUTO,))

    assert sets.number(pa.array(["sms", "", "fax", "sms"])).tolist() == [1, 0, UNKNOWN, 1]
    assert sets.number(pa.array(["whatsapp+sms", "sms", "auto"])).tolist() == [2, 1, 0]


def mixed(base: Path) -> Plan:
    rows = people(6, via=["", "sms", "sms+whatsapp", "fax", "", "WhatsApp, sms"])
    return make_plan(base, rows, {"recipients": {"channel": "via"}}, batch_size=10)


def test_rows_of_equal_channels_share_a_batch_in_the_order_of_their_first_row(tmp_path: Path) -> None:
    plan = mixed(tmp_path)
    found = [(batch.channels, len(batch.to)) for batch in plan.read_batches()]

    assert found == [((AUTO,), 2), ((SMS,), 1), ((SMS, WHATSAPP), 2)]
    assert plan.excluded == {"invalid_channel": 1}
    assert (plan.recipients, plan.deliveries, plan.channels) == (5, 7, (SMS, WHATSAPP, AUTO))
    assert plan.head.by_channels == {"auto": 2, "sms": 1, "sms+whatsapp": 2}
    assert (plan.head.largest_batch, plan.head.heaviest) == (2, 4)


def test_the_manifest_has_a_row_for_each_channel_that_its_row_asks_for(tmp_path: Path) -> None:
    plan = mixed(tmp_path)
    auto, sms, both = plan.read_batches()
    record(plan, accepted(auto), rejected(sms), accepted(both, without=[(both.to[1], "sms")]))
    made = build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)
    rows = pq.read_table(plan.run_dir.manifest).to_pylist()

    assert [(row["input_row"], row["channel"], row["status"]) for row in rows] == [
        (0, "auto", "accepted"),
        (1, "sms", "rejected"),
        (2, "sms", "accepted"),
        (2, "whatsapp", "accepted"),
        (3, "auto", "excluded"),
        (4, "auto", "accepted"),
        (5, "sms", "in_doubt"),
        (5, "whatsapp", "accepted"),
    ]
    counted = tally(plan, Facts.read(plan))
    assert {status: count for status, count in made.counts.items() if count} == {
        "accepted": counted.accepted,
        "rejected": counted.rejected,
        "excluded": counted.excluded,
        "in_doubt": 1,
    }
    assert audit(plan).difference is None


def test_what_was_refused_is_retried_on_the_channels_of_its_row(tmp_path: Path) -> None:
    plan = mixed(tmp_path)
    auto, sms, both = plan.read_batches()
    record(plan, accepted(auto), rejected(sms), rejected(both))
    message = plan.head.message
    built = build_retry(plan, choose_retry(plan), message=message, operation=OPERATIONS[plan.head.operation])
    table = pq.read_table(plan.run_dir.batches(1)).to_pylist()

    assert [(batch["channels"], batch["rows"]) for batch in table] == [("sms", [1]), ("sms+whatsapp", [2, 5])]
    assert (built.recipients, built.deliveries) == (3, 5)
    assert generation(1) == "r1"


def test_a_wider_set_of_channels_has_smaller_batches(tmp_path: Path) -> None:
    """Every channel of a recipient has a row of its own in the answer, which must stay under the API's memory."""
    rows = people(120, via=["sms", "sms+whatsapp+rcs+mms"])
    plan = make_plan(tmp_path, rows, {"recipients": {"channel": "via"}, "message": {"body_length": 10_000}})
    sizes: dict[int, int] = {}
    for batch in plan.read_batches():
        sizes[len(batch.channels)] = max(sizes.get(len(batch.channels), 0), len(batch.to))

    assert sizes == {1: 41, 4: 10}


def test_an_extension_may_bring_new_channels(tmp_path: Path) -> None:
    tables = {"recipients": {"channel": "via"}}
    make_plan(tmp_path, people(2, via=[""]), tables)
    plan = extend_plan(tmp_path, people(4, via=["", "", "rcs", "sms"]), tables)

    assert plan.channels == (SMS, RCS, AUTO)
    assert (plan.recipients, plan.deliveries) == (4, 4)
    assert np.array_equal(plan.sizes(), [2, 1, 1])
