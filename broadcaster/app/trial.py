"""``test``: one real message to a number of one's own, with the first row's parameters."""

from dataclasses import dataclass, replace

from broadcaster.app.parts import Access, line
from broadcaster.clock import SystemClock, today, wall_us
from broadcaster.core.classify import classify
from broadcaster.core.keys import idempotency_key
from broadcaster.core.retry import RetryPolicy, delay_s
from broadcaster.core.values import Batch, Heard, Lost, Message, Reply, Scope, Unsent, Verdict
from broadcaster.core.words import Action, Executed, Mode
from broadcaster.engine.retrying import persist
from broadcaster.engine.stop import Stop
from broadcaster.errors import BroadcasterError, ConfigError, Halted, ListUnusable, RequestRefused, Unreachable
from broadcaster.job.load import render_campaign
from broadcaster.job.model import Job
from broadcaster.operations import OPERATIONS, operation_key
from broadcaster.phones import parse_number
from broadcaster.planning.opening import Opened, copying, open_job_list
from broadcaster.planning.render import COMPLETE

_ATTEMPTS = 5  # somebody is waiting in front of the screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of the test message. ``message_id`` is one per channel."""

    message_ids: tuple[str, ...]
    request_id: str
    parameters: str


async def send_test(job: Job, *, number: str, to: Access, mode: Mode) -> Tried:
    """Send the job's message once to *number*, under a generation of its own.

    Raises:
        ConfigError: the number is not valid, or the API refuses the request.
        ListUnusable: no row of the list has all parameters.
        AccountRefused, Unreachable, Halted: as the API answers.
    """
    clock = SystemClock()
    found = parse_number(number, region=job.recipients.default_region)
    if found is None:
        raise ConfigError("--to is not a valid number; write it with its country code, such as +14155550100")
    operation = OPERATIONS[operation_key(kind=job.kind, version=job.api.version, by_contact=False)]
    if not operation.sends_messages:
        raise ConfigError(
            "the job creates contacts and has no message to test; 'broadcaster plan' shows what it would do"
        )
    # A number of one's own is no contact of the list.
    job = job.model_copy(update={"recipients": job.recipients.model_copy(update={"contact_id": None})})
    parameters = _first_parameters(job)
    message = Message(
        template_id=job.message.template_id,
        template_name=job.message.template_name,
        text=job.message.text,
        scope=Scope(
            campaign=render_campaign(job, day=today(job.timezone)),
            generation=f"t{wall_us()}",
            mode=mode,
            profile=to.profile,
            method=operation.method,
            path=operation.path,
        ),
    )
    bare = Batch(id=0, key="", to=(found,), channels=tuple(job.message.channels), parameters=parameters)
    key = idempotency_key(operation.encode(message, bare), scope=message.scope)
    batch = replace(bare, key=key)
    opened = line(
        to,
        limits=job.limits,
        timeout_s=job.api.timeout,
        largest=batch.deliveries,
        clock=clock,
        stop=Stop(),
        observe=lambda _event: None,
    )
    async with opened as api_line:
        request = operation.request(message, batch)
        doubtful = False
        attempts = 0

        async def attempt() -> tuple[Verdict, Reply | Lost | Unsent, Heard | None]:
            nonlocal doubtful, attempts
            attempts += 1
            await api_line.pacer.turn(request.messages)
            result = await api_line.send(request)
            heard = operation.hear(batch, result) if isinstance(result, Reply) else None
            verdict = classify(
                heard if heard is not None else result,  # type: ignore[arg-type]  # heard is None only without a reply
                repeat=operation.repeat,
                doubtful=doubtful,
                codes=operation.codes,
            )
            doubtful = doubtful or verdict.executed is Executed.UNKNOWN
            return verdict, result, heard

        tried = await attempt()
        if tried[0].action is Action.REPEAT:
            tried = await persist(
                tried,
                attempt,
                unfinished=lambda each: each[0].action is Action.REPEAT,
                delay_s=lambda each, failed: delay_s(
                    failed, policy=RetryPolicy(), retry_after_s=each[0].retry_after_s, rand=0.5
                ),
                sleep=clock.sleep,
                give_up=lambda: attempts >= _ATTEMPTS,
            )
    verdict, result, heard = tried
    if verdict.action is not Action.ACCEPT or not isinstance(result, Reply):
        raise _refusal(verdict)
    reading = operation.read(batch, result.body)
    return Tried(
        message_ids=tuple(each for each in reading.message_ids if each is not None),
        request_id=heard.request_id if heard else "",
        parameters=parameters.decode(),
    )


def _refusal(verdict: Verdict) -> BroadcasterError:
    if verdict.action is Action.REPEAT:
        return Unreachable(f"the API did not accept the test message: {verdict.sentence}")
    kind = verdict.error or (RequestRefused if verdict.executed is Executed.NO else Halted)
    return kind(f"the test message was not accepted: {verdict.sentence}")


def _first_parameters(job: Job) -> bytes:
    """Return the parameters of the first row inside the job's filter that has all of them."""
    with copying(job) as copies:
        return _first_complete(open_job_list(job, copies=copies))


def _first_complete(opened: Opened) -> bytes:
    renderer = opened.renderer
    columns = dict.fromkeys([opened.columns.phone, *renderer.columns, *(opened.only.columns if opened.only else ())])
    for batch in opened.source.batches([*columns], malformed={}):
        rendered = renderer.render(batch)
        fits = rendered.state == COMPLETE
        if opened.only is not None:
            fits &= opened.only.inside(batch).to_numpy()
        if fits.any():
            first: str = rendered.bodies[rendered.rows[fits][0]].as_py()
            return first.encode()
    inside = " inside the filter" if opened.only else ""
    raise ListUnusable(f"no row of the list{inside} has all the columns that the message needs")
