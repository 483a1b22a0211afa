"""A job's lists, opened, with the columns that the job needs of them, and what is kept of them.

What is no file of this machine (standard input, an address) is read once, into a copy; the copy of a list that was
planned stays in the run directory, so that ``failed.csv`` and ``excluded.csv`` can have its columns at any later time.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from broadcaster.errors import ConfigError
from broadcaster.job.model import Job
from broadcaster.lists.columns import Columns, choose
from broadcaster.lists.fetch import is_local, shown
from broadcaster.lists.filter import Filter, read_filter
from broadcaster.lists.read import ListSource, open_list
from broadcaster.lists.suppress import open_suppressed
from broadcaster.operations.legacy import CONTACT_ID
from broadcaster.planning.render import Renderer
from broadcaster.store.files import PRIVATE, TEMPORARY, disk_errors, sync
from broadcaster.store.head import ListFile
from broadcaster.store.rundir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A list, which column is what, who renders the parameters from it, and which rows are meant; ``None``: all."""

    source: ListSource
    columns: Columns
    renderer: Renderer
    only: Filter | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All lists of a job as they are now.

    Attributes:
        source: the list.
        columns: which column of it is what.
        only: which of its rows are meant; ``None``: all.
        lists: the files of the list; those that are kept in the run directory by their name there.
        suppressing: the suppression lists.
        suppress: digests of their files.
    """

    source: ListSource
    columns: Columns
    only: Filter | None
    lists: tuple[ListFile, ...]
    suppressing: tuple[ListSource, ...]
    suppress: tuple[str, ...]

    def kept(self, run_dir: RunDir, part: int) -> "Reading":
        """Move the copies that were read into the run directory; durable when it returns.

        Raises:
            StoreError: when the disk refuses.
        """
        lists = list(self.lists)
        for at, file in enumerate(self.source.files):
            if file.place.fetched:
                path = run_dir.kept_list(part, file.place.path.name)
                with disk_errors(path):
                    file.place.path.chmod(PRIVATE)
                    sync(file.place.path)
                    file.place.path.replace(path)
                lists[at] = replace(lists[at], path=path.name)
        return replace(self, lists=tuple(lists))


@contextmanager
def copying(job: Job, directory: Path | None = None) -> Iterator[Path | None]:
    """Yield a directory for copies while *job*'s lists are read, or ``None`` when all of them are files.

    Args:
        job: whose lists are to be read.
        directory: where to make it; where the system keeps temporary files when ``None``.

    Raises:
        StoreError: when the disk refuses.
    """
    if all(map(is_local, (*job.recipients.files, *job.recipients.suppress))):
        yield None
        return
    with disk_errors(directory or Path(tempfile.gettempdir())):
        copies = tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=directory)
    with copies as path:
        yield Path(path)


def read_lists(job: Job, *, copies: Path | None, only: Sequence[str] = ()) -> Reading:
    """Open the list and the suppression lists of *job*, and take their digests.

    Args:
        job: whose lists they are.
        copies: from :func:`copying`.
        only: expressions that have to hold besides the job's filter.

    Raises:
        ConfigError: a parameter is not usable.
        FilterInvalid: a filter does not fit the list.
        JobInvalid: a ``{column}`` or the column to group by is not in the list.
        ListUnusable: a list cannot be read, or a column is missing.
        StoreError: a copy cannot be made.
    """
    opened = open_job_list(job, copies=copies, only=only)
    with disk_errors(copies or job.base):
        suppressing = open_suppressed(job.recipients.suppress, base=job.base, copies=copies)
    return Reading(
        source=opened.source,
        columns=opened.columns,
        only=opened.only,
        lists=tuple(
            ListFile(path=each.path, size=each.size, sha256=each.sha256) for each in opened.source.fingerprints()
        ),
        suppressing=suppressing,
        suppress=tuple(each.sha256 for source in suppressing for each in source.fingerprints()),
    )


def parameters_of(job: Job) -> dict[str, str]:
    """Return what is rendered for each row: the message's parameters, and the contact's id where it is sent to that."""
    parameters = dict(job.message.parameters)
    if job.recipients.contact_id is not None:
        parameters[CONTACT_ID] = f"{{{job.recipients.contact_id}}}"
    return parameters


def open_job_list(job: Job, *, copies: Path | None = None, only: Sequence[str] = ()) -> Opened:
    """Open the list of *job* and find its columns.

    Args:
        job: whose list it is.
        copies: from :func:`copying`; without it only files can be read.
        only: as in :func:`read_lists`.

    Raises:
        ConfigError: a parameter is not usable.
        FilterInvalid: a filter does not fit the list.
        JobInvalid: a ``{column}`` or the column to group by is not in the list.
        ListUnusable: the list cannot be read, or a column is missing.
        StoreError: a copy cannot be made.
    """
    recipients = job.recipients
    with disk_errors(copies or job.base):  # of copies: what is wrong with a list has a sentence of its own
        source = open_list(
            recipients.files,
            base=job.base,
            encoding=recipients.encoding,
            delimiter=recipients.delimiter,
            sheet=recipients.sheet,
            copies=copies,
        )
    try:
        renderer = Renderer(parameters_of(job))
    except ValueError as error:
        raise ConfigError(f"message.parameters: {error}; the API refuses such a value") from error
    columns = choose(
        source.columns,
        phone=recipients.phone,
        id=recipients.id,
        region=recipients.region,
        opt_out=recipients.opt_out,
        channel=recipients.channel,
        contact_id=recipients.contact_id,
        timezone=recipients.timezone,
        group_by=recipients.group_by,
        profile=job.profile_column,
        needed=renderer.columns,
        list_name=", ".join(name if is_local(name) else shown(name) for name in recipients.files),
    )
    written = [("recipients.filter", recipients.filter)] if recipients.filter.strip() else []
    written += [("--only", text) for text in only]
    return Opened(source=source, columns=columns, renderer=renderer, only=read_filter(written, source.columns))
