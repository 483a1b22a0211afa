"""What the journal knows of one recipient in one batch, fact by fact: for whoever tells a story.

Reads by batch, so that it is quick in a run of any size, and while the run goes on. :func:`became` says the same of a
delivery as the manifest, which derives it for millions at once (tests/property/test_manifest.py compares the two).
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.core.resolution import SKIPPED
from broadcaster.core.split import child_batch
from broadcaster.core.values import Attempt, Batch, Child, Claim, Decided, Instant
from broadcaster.core.words import Channel, Decision, Executed, Repeat, State, Status
from broadcaster.store.batchfacts import NO_ANSWER
from broadcaster.store.head import Head, parse_channels
from broadcaster.store.journal import JournalReader, Settled
from broadcaster.store.known import answered_ids
from broadcaster.store.manifest import MISSING
from broadcaster.store.parquet import reading
from broadcaster.store.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """A row of the list as it was planned. ``number`` counts over all parts; ``head`` is that of its own."""

    head: Head
    number: int
    input_row: int
    recipient_id: str | None
    phone_input: str
    to: str | None
    channels: tuple[Channel, ...]
    reason: str | None
    error: str | None


def find_rows(
    plan: Plan, *, to: str | None = None, written: str | None = None, input_row: int | None = None
) -> Iterator[PlanRow]:
    """Yield the rows that have this number, or this very text as their number, or this place in their list.

    Raises:
        StoreDamaged: the plan cannot be read.
    """
    wanted = {"to": to, "phone_input": written, "input_row": input_row}
    asked = {name: value for name, value in wanted.items() if value is not None}
    for part in plan.parts:
        if part.rows_path is None:
            continue
        with reading(part.rows_path) as file:
            first = part.head.first_row
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(asked))
                fits = [pc.fill_null(pc.equal(table[name], value), fill_value=False) for name, value in asked.items()]
                found = pc.indices_nonzero(functools.reduce(pc.or_, fits)).to_pylist()
                if found:
                    yield from _plan_rows(part.head, file.read_row_group(group), found, first=first)
                first += table.num_rows


def _plan_rows(head: Head, table: pa.Table, places: list[int], *, first: int) -> Iterator[PlanRow]:
    for at, row in zip(places, table.take(pa.array(places)).to_pylist(), strict=True):
        yield PlanRow(
            head=head,
            number=first + at,
            input_row=row["input_row"],
            recipient_id=row["recipient_id"],
            phone_input=row["phone_input"],
            to=row["to"],
            channels=tuple(sorted(parse_channels(row["channels"]))),
            reason=row["reason"],
            error=row["error"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A look-up found the message of a delivery, at this time and in this place."""

    channel: Channel
    message_id: str
    source: str
    seen_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All facts about one recipient in one batch.

    Attributes:
        batch, position: where the recipient is.
        cause: why the batch was cut out of its parent; "" for a planned one.
        claim: it stays when the batch is settled. *claimed_by* is the process that made it.
        attempts: those that settled nothing, in order.
        outcome: how the batch was settled.
        answered: the message ids of the accepting answer, by channel.
        blame: code and sentence with which the API refused this recipient by name.
        proofs, decisions: of look-ups and of people.
        parts: of the batches cut out of this one, those that this recipient is in.
    """

    batch: Batch
    position: int
    cause: str
    claim: Claim | None
    claimed_by: str
    attempts: tuple[Attempt, ...]
    outcome: Settled | None
    answered: dict[Channel, str]
    blame: tuple[str, str] | None
    proofs: tuple[Proof, ...]
    decisions: tuple[Decided, ...]
    parts: tuple["Story", ...]


def untold(batch: Batch, position: int) -> Story:
    """Return the story of a batch of which nothing is known: no journal, or nothing in it."""
    return Story(
        batch=batch,
        position=position,
        cause="",
        claim=None,
        claimed_by="",
        attempts=(),
        outcome=None,
        answered={},
        blame=None,
        proofs=(),
        decisions=(),
        parts=(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """The state of a delivery, in the words of the manifest."""

    status: Status
    reason: str | None = None
    error: str | None = None
    message_id: str | None = None


def became(story: Story, channel: Channel) -> Became:
    """Return what became of a delivery by its story; a later word about it replaces an earlier one."""
    for part in reversed(story.parts):
        if channel in part.batch.channels:
            return became(part, channel)
    found = {**story.answered, **{each.channel: each.message_id for each in story.proofs}}.get(channel)
    if found is not None:
        return Became(status=Status.ACCEPTED, message_id=found)
    ended = story.outcome
    if ended is None:
        if story.claim is None:
            return Became(status=Status.PENDING)
        last = story.attempts[-1] if story.attempts else None
        code, sentence = (last.code, last.sentence) if last else ("", "")
        return Became(status=Status.IN_DOUBT, reason=code or NO_ANSWER[0], error=sentence or NO_ANSWER[1])
    if ended.state is State.ACCEPTED:
        return _unnamed(story, ended)
    status = {State.RESENT: Status.IN_DOUBT, State.SKIPPED: Status.EXCLUDED}.get(ended.state, Status.REJECTED)
    return Became(status=status, reason=ended.code or None, error=ended.sentence or None)


def _unnamed(story: Story, ended: Settled) -> Became:
    """Return what became of a delivery that the accepting answer gives no id."""
    if not ended.missing:  # the API names nothing it creates
        return Became(status=Status.ACCEPTED)
    waived = any(each.what is Decision.SKIP for each in story.decisions)
    reason, error = SKIPPED if waived else MISSING
    return Became(status=Status.EXCLUDED if waived else Status.IN_DOUBT, reason=reason, error=error)


class StoryReader(JournalReader):
    """A journal read by batch."""

    def story(self, plan: Plan, batch: Batch, position: int, *, cause: str = "") -> Story:
        """Return all that is known of the recipient at *position* in *batch*.

        Raises:
            StoreDamaged: a row does not match its checksum, or an answer cannot be read.
        """
        natural = plan.head.asked.repeat is Repeat.NATURAL  # then a claim says nothing: all is done again
        claim, claimed_by = (None, "") if natural else self._claim(batch.id)
        return Story(
            batch=batch,
            position=position,
            cause=cause,
            claim=claim,
            claimed_by=claimed_by,
            attempts=tuple(self._attempts(batch.id)),
            outcome=next(self.outcomes(of=batch.id), None),
            answered=self._answered(plan, batch, position),
            blame=self.blames(of=batch.id).get(batch.id, {}).get(position),
            proofs=tuple(self._proofs(batch.id, position)),
            decisions=tuple(each for each in self.decisions() if each.batch == batch.id),
            parts=tuple(
                self.story(plan, child_batch(batch, each), each.positions.index(position), cause=each.cause)
                for each in self.children(of=batch.id)
                if position in each.positions
            ),
        )

    def find_message(self, plan: Plan, message_id: str) -> Iterator[tuple[int, int]]:
        """Yield planned batch and position of every recipient who got *message_id*, by an answer or by a look-up."""
        word = message_id.encode()
        for number in [batch for batch, body in self.answers() if word in body]:
            batch = self._batch(plan, number)
            ids = answered_ids(plan, batch, self.answer(number))
            for at in (at for at, each in enumerate(ids) if each == message_id):
                yield self._planned(number, at // len(batch.channels))
        for number, position, *_ in self._facts("SELECT * FROM evidence WHERE message_id = ?", message_id):
            yield self._planned(number, position)

    def _batch(self, plan: Plan, number: int) -> Batch:
        if number >= 0:
            return plan.fetch([number])[number]
        born = self._born(number)
        return child_batch(self._batch(plan, born.parent), born)

    def _planned(self, number: int, position: int) -> tuple[int, int]:
        """Return where a recipient of a batch is in the planned batch that it was cut out of."""
        while number < 0:
            born = self._born(number)
            number, position = born.parent, born.positions[position]
        return number, position

    def _born(self, number: int) -> Child:
        return next(each for each in self.children() if each.id == number)

    def _claim(self, number: int) -> tuple[Claim | None, str]:
        for batch, process, since_us, boot_us, server_us in self._facts("SELECT * FROM claim WHERE batch = ?", number):
            since = Instant(wall_us=since_us, boot_us=boot_us)
            return Claim(batch=batch, since=since, server_us=server_us), self._process(process)
        return None, ""

    def _process(self, number: int) -> str:
        for host, pid, version in self._rows("SELECT host, pid, version FROM process WHERE id = ?", number):
            return f"process {pid} on {host}, version {version}"
        return ""

    def _attempts(self, number: int) -> Iterator[Attempt]:
        query = "SELECT * FROM attempt WHERE batch = ? ORDER BY rowid"
        for batch, n, _, started_us, ended_us, executed, http, code, request_id, sentence, _ in self._facts(
            query, number
        ):
            yield Attempt(
                batch=batch,
                n=n,
                started=Instant(wall_us=started_us),
                ended=Instant(wall_us=ended_us),
                executed=Executed(executed),
                http=http,
                code=code or "",
                request_id=request_id or "",
                sentence=sentence or "",
            )

    def _answered(self, plan: Plan, batch: Batch, position: int) -> dict[Channel, str]:
        """Return this recipient's message ids by the batch's answer, if it has one."""
        if next(iter(self._rows("SELECT 1 FROM answer WHERE batch = ?", batch.id)), None) is None:
            return {}
        ids = answered_ids(plan, batch, self.answer(batch.id))
        mine = ids[position * len(batch.channels) :][: len(batch.channels)]
        return {channel: each for channel, each in zip(batch.channels, mine, strict=True) if each is not None}

    def _proofs(self, number: int, position: int) -> Iterator[Proof]:
        query = "SELECT * FROM evidence WHERE batch = ? AND position = ? ORDER BY seen_us, channel"
        for _, _, channel, message_id, source, seen_us in self._facts(query, number, position):
            yield Proof(channel=Channel(channel), message_id=message_id, source=source, seen_us=seen_us)
