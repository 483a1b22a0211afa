"""What must hold of a run however it ended, and the bodies that an API may answer with."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from broadcaster.store.audit import audit
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from support.cli import Cli, Result, once
from support.simulator import Stretch

RUN = "runs/here"
_MAY_HAVE_IT = {"accepted", "in_doubt"}


def campaign() -> str:
    """Return a name that no other test has: tests that share a simulator share its memory of keys."""
    return f"campaign-{uuid.uuid4().hex}"


def run(cli: Cli, *flags: str, env: Mapping[str, str] | None = None) -> Result:
    """Run ``job.toml`` in the directory ``RUN``."""
    return cli("run", "job.toml", "--yes", "--run-dir", RUN, *flags, env=env)


def summary(cli: Cli, run_dir: str = RUN) -> dict[str, Any]:
    """Return what the last stop wrote down."""
    found: dict[str, Any] = json.loads((cli.home / run_dir / "summary.json").read_bytes())
    return found


def prove(cli: Cli, here: Stretch, *, run_dir: str = RUN, invented_ids: bool = False) -> None:
    """Fail unless nobody was messaged twice, and nobody who was messaged is called pending, rejected or excluded.

    Everybody who is called accepted must have been messaged, under the id that the manifest has; with *invented_ids*,
    which an answer made up, under any. Plan, journal and manifest must agree.
    """
    assert audit(Plan.open(RunDir(cli.home / run_dir))).difference is None
    ledger = {(each["recipient"], each["channel"]): each["message_id"] for each in here.messages()}
    once(here.messages())
    rows = [row for row in cli.manifest(run_dir) if row["to"] is not None]
    for row in rows:
        message_id = ledger.get((row["to"], row["channel"]))
        assert row["status"] in _MAY_HAVE_IT or message_id is None or row["reason"] == "duplicate", row
        if row["status"] == "accepted":
            assert message_id is not None, row
            assert invented_ids or row["message_id"] == message_id
    assert set(ledger) <= {(row["to"], row["channel"]) for row in rows}, "a stranger was messaged"


def error(code: str | None, details: object = None, **more: object) -> str:
    """Return the body of a refusal."""
    said = None if code is None else {"code": code, "message": "Request validation failed", "details": details}
    return json.dumps({"success": False, "data": None, "error": said, **more})


def answer(recipients: Sequence[tuple[str, str]], *, channel: str = "sms") -> str:
    """Return the body of a 202 with these numbers and message ids."""
    rows = [{"message_id": name, "to": to, "channel": channel, "body": "Hi"} for to, name in recipients]
    return json.dumps({"success": True, "data": {"status": "QUEUED", "recipients": rows}, "error": None, "meta": {}})
