"""The circumstances of a run: what was sent from which list, who worked on it, who decided what."""

from pathlib import Path

from broadcaster.report.figures import Decision, Launch, ListFile
from broadcaster.report.masking import masked_text
from broadcaster.report.requests import limits_of
from broadcaster.report.times import iso
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan

_SHORT = 12  # characters of a digest that people compare


def about(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return facts for people, by name."""
    head = plan.head
    found = [("Campaign", head.campaign), ("Mode", head.mode), ("Message", _message(plan))]
    found.append(("Channels asked for", ", ".join(map(str, plan.channels)) or "none"))
    if head.profile:
        found.append(("Profile", head.profile))
    if plan.run_dir.journal.exists():
        with JournalReader(plan.run_dir.journal) as journal:
            known = journal.meta()
        if "account" in known:
            found.append(("Account (fingerprint)", known["account"][:_SHORT]))
        if "base_url" in known:
            found.append(("Address of the API", known["base_url"]))
    found.append(("Planned at", iso(head.planned_us) or ""))
    found.append(("Requests planned", f"{plan.batches:,}"))
    if len(plan.parts) > 1:
        added = [f"part {part.head.part}: {part.head.kind}" for part in plan.parts[1:]]
        found.append(("Added later", ", ".join(added)))
    limit = limits_of(plan).requests_per_minute
    found.append(("Limit of requests per minute", f"{limit:,}" if limit else "none"))
    found.append(("Planned by version", head.code))
    found.append(("Plan (fingerprint)", plan.fingerprint[:_SHORT]))
    return tuple(found)


def _message(plan: Plan) -> str:
    head = plan.head
    if not head.asked.sends_messages:
        return "none: contacts are created"
    if head.text is not None:
        return f"a text of {len(head.text):,} characters"
    return f"template {head.template_id or head.template_name}"


def lists(plan: Plan) -> tuple[ListFile, ...]:
    """Return the files that the recipients are from."""
    return tuple(
        ListFile(name=Path(each.path).name, part=part.head.part, bytes=each.size, sha256=each.sha256)
        for part in plan.parts
        for each in part.head.lists
    )


def launches(plan: Plan) -> tuple[Launch, ...]:
    """Return the processes that worked on the run, oldest first."""
    if not plan.run_dir.journal.exists():
        return ()
    with JournalReader(plan.run_dir.journal) as journal:
        return tuple(
            Launch(started=iso(started) or "", ended=iso(ended), version=version, ending=ending)
            for started, ended, version, ending in journal.processes()
        )


def decisions(plan: Plan) -> tuple[Decision, ...]:
    """Return what people decided and ordered while it ran; requests that were decided about together are one line."""
    if not plan.run_dir.journal.exists():
        return ()
    together: dict[tuple[int, str, str, str], int] = {}
    with JournalReader(plan.run_dir.journal) as journal:
        for each in journal.decisions():
            key = (each.at_us, each.who, str(each.what), each.note)
            together[key] = together.get(key, 0) + 1
        for each in journal.waivers():
            together[each.at_us, each.who, str(each.what).replace("_", " "), ""] = 0
        for order in journal.orders():
            what = str(order.what) if order.per_minute is None else f"{order.what} {order.per_minute:,} a minute"
            together[order.at_us, order.who, what, ""] = 0
    return tuple(
        Decision(at=iso(at_us) or "", who=who, what=what, requests=count, note=masked_text(note))
        for (at_us, who, what, note), count in sorted(together.items())
    )
