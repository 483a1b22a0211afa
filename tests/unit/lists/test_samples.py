"""The jobs and lists of the repository fit each other, and show what lists are like."""

from collections import Counter
from pathlib import Path

import pytest

from broadcaster.job.load import load_job
from broadcaster.job.model import Job
from broadcaster.job.template import placeholders
from broadcaster.lists.columns import choose
from broadcaster.lists.read import open_list
from broadcaster.lists.suppress import open_suppressed, suppressed_numbers
from broadcaster.phones import normalise

JOBS = Path(__file__).parents[3] / "jobs"


def numbers_of(job: Job) -> list[int]:
    """The list's numbers in its order, 0 where one is refused."""
    source = open_list(job.recipients.files, base=job.base)
    columns = choose(
        source.columns,
        phone=job.recipients.phone,
        id=job.recipients.id,
        region=job.recipients.region,
        opt_out=job.recipients.opt_out,
        needed=[name for value in job.message.parameters.values() for name in placeholders(value)],
        list_name="list",
    )
    found: list[int] = []
    for batch in source.batches():
        region = batch.column(columns.region) if columns.region else job.recipients.default_region
        found += normalise(batch.column(columns.phone), region, fallback=job.recipients.default_region).e164.tolist()
    return found


@pytest.mark.parametrize(
    ("name", "rows", "invalid", "repeated", "suppressed"),
    [("service_notice", 60, 2, 1, 0), ("spring_sale", 60, 2, 1, 2), ("storm_alert", 40, 1, 0, 0)],
)
def test_a_job_of_the_repository_fits_its_list(
    name: str, rows: int, invalid: int, repeated: int, suppressed: int
) -> None:
    job = load_job(JOBS / f"{name}.toml")
    numbers = Counter(numbers_of(job))
    silent = suppressed_numbers(
        open_suppressed(job.recipients.suppress, base=job.base),
        phone=job.recipients.phone,
        default_region=job.recipients.default_region,
    )

    assert numbers.total() == rows
    assert numbers.pop(0) == invalid
    assert sum(count - 1 for count in numbers.values()) == repeated
    assert len(numbers.keys() & set(silent.tolist())) == suppressed
