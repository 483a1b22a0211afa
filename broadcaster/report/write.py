"""A run's report on disk: what every run leaves behind."""

from broadcaster.report.page import render_page
from broadcaster.report.summary import Source, summarise
from broadcaster.store.files import write_atomically


def write_page(source: Source) -> None:
    """Write ``report.html`` into the run's directory.

    Raises:
        StoreError: when the disk refuses, or a file of the run is damaged.
    """
    write_atomically(source.plan.run_dir.report, render_page(summarise(source)).encode())
