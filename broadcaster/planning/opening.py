"""A job's list, opened, with the columns that the job needs of it."""

from dataclasses import dataclass

from broadcaster.errors import ConfigError
from broadcaster.job.model import Job
from broadcaster.lists.columns import Columns, choose
from broadcaster.lists.read import ListSource, open_list
from broadcaster.planning.render import Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A list, which column is what, and who renders the parameters from it."""

    source: ListSource
    columns: Columns
    renderer: Renderer


def open_job_list(job: Job) -> Opened:
    """Open the list of *job* and find its columns.

    Raises:
        ConfigError: a parameter is not usable.
        JobInvalid: a ``{column}`` is not in the list.
        ListUnusable: the list cannot be read, or a column is missing.
    """
    recipients = job.recipients
    source = open_list(recipients.files, base=job.base, encoding=recipients.encoding, delimiter=recipients.delimiter)
    try:
        renderer = Renderer(job.message.parameters)
    except ValueError as error:
        raise ConfigError(f"message.parameters: {error}; the API refuses such a value") from error
    columns = choose(
        source.columns,
        phone=recipients.phone,
        id=recipients.id,
        region=recipients.region,
        opt_out=recipients.opt_out,
        needed=renderer.columns,
        list_name=", ".join(recipients.files),
    )
    return Opened(source=source, columns=columns, renderer=renderer)
