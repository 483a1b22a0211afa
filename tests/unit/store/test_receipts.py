"""The file of receipts: each once, durable when acknowledged, the state always the fold, whoever writes and reads."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from broadcaster.core.receipts import Receipt
from broadcaster.errors import BelongsToAnother, StoreDamaged, StoreError
from broadcaster.store.receipts import (
    ReceiptsWriter,
    history,
    read_states,
    receipt_files,
    revision,
    state_batches,
)

US = 1_000_000
T0 = 1_780_000_000


def receipt(name: str, status: str, at_s: int = 0, *, key: str = "", **others: Any) -> Receipt:
    usual = {"channel": "sms", "code": None, "reason": None, "source": "webhook"}
    return Receipt(
        message_id=name,
        status=status,
        updated_us=(T0 + at_s) * US,
        event_key=key or f"{name}/{status}/{at_s}",
        **(usual | others),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "receipts.sqlite"


async def add(path: Path, *receipts: Receipt) -> int:
    with ReceiptsWriter(path) as writer:
        return await writer.add(receipts)


def statuses(*paths: Path) -> dict[str, str]:
    states = read_states(paths)
    return dict(zip(states["message_id"].to_pylist(), states["status"].to_pylist(), strict=True))


def content(path: Path) -> bytes:
    return path.read_bytes()


def move(path: Path, to: Path) -> None:
    path.rename(to)


def exit_code(program: str) -> int:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode


@contextmanager
def held(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the lock of a writer for the length of the block."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("ROLLBACK")


# ---- what is written ------------------------------------------------------------------------------------------------


async def test_a_receipt_is_kept_once_and_the_state_is_the_fold(path: Path) -> None:
    told = [receipt("m", "SENT", 2), receipt("m", "QUEUED", 0), receipt("m", "FAILED", 3, code="DELIVERY_003")]
    with ReceiptsWriter(path) as writer:
        assert await writer.add(told) == 3
        assert await writer.add(told) == 0
        assert await writer.add([told[0], receipt("n", "queued", 1), receipt("n", "queued", 1)]) == 1
        assert writer.waiting == 0
    states = read_states([path])
    assert states.to_pylist() == [
        {
            "message_id": "m",
            "status": "FAILED",
            "channel": "sms",
            "reason": "DELIVERY_003",
            "updated_us": (T0 + 3) * US,
            "final": False,
            "price": None,
        },
        {
            "message_id": "n",
            "status": "QUEUED",
            "channel": "sms",
            "reason": None,
            "updated_us": (T0 + 1) * US,
            "final": False,
            "price": None,
        },
    ]
    assert [each.status for each in history([path], "m")] == ["QUEUED", "SENT", "FAILED"]


async def test_a_receipt_is_read_back_as_it_was_but_for_the_number(path: Path) -> None:
    told = receipt(
        "m", "FAILED", code="DELIVERY_007", reason="“Off” \n ü \U0001f4f5", price="0.0125", to="+14155550100"
    )
    await add(path, told)
    assert history([path], "m") == [replace(told, to=None)]
    assert b"4155550100" not in content(path)


async def test_an_acknowledged_receipt_survives_a_kill(path: Path) -> None:
    program = f"""
import asyncio, os, signal
from pathlib import Path
from broadcaster.core.receipts import Receipt
from broadcaster.store.receipts import ReceiptsWriter

async def main():
    writer = ReceiptsWriter(Path({str(path)!r}))
    await writer.add([Receipt(message_id="m", status="SENT", channel=None, code=None, reason=None, updated_us=1,
                              event_key="k", source="webhook")])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    assert exit_code(program) == -signal.SIGKILL
    assert statuses(path) == {"m": "SENT"}
    assert await add(path, receipt("m", "DELIVERED")) == 1
    assert statuses(path) == {"m": "DELIVERED"}


async def test_the_files_are_for_their_owner_only(path: Path) -> None:
    with ReceiptsWriter(path) as writer:
        await writer.add([receipt("m", "SENT")])
        found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert found == dict.fromkeys(["receipts.sqlite", "receipts.sqlite-wal", "receipts.sqlite-shm"], 0o600)
    assert [each.name for each in path.parent.iterdir()] == ["receipts.sqlite"]


async def test_what_gathers_while_the_disk_is_busy_is_written_together(path: Path) -> None:
    with ReceiptsWriter(path) as writer:
        with held(path):
            tasks = [asyncio.create_task(writer.add([receipt(f"m{n % 7}", "SENT", n)])) for n in range(50)]
            await asyncio.sleep(0)
            assert writer.waiting == 50
        assert [await task for task in tasks] == [1] * 50
        assert writer.waiting == 0
    with closing(sqlite3.connect(path)) as db:
        moments = {row[0] for row in db.execute("SELECT received_us FROM receipt")}
        assert db.execute("SELECT count(*) FROM receipt").fetchone() == (50,)
    assert len(moments) <= 50
    assert len(statuses(path)) == 7


async def test_a_caller_that_leaves_takes_nothing_with_it(path: Path) -> None:
    with ReceiptsWriter(path) as writer:
        with held(path):
            task = asyncio.create_task(writer.add([receipt("m", "SENT")]))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await writer.add([receipt("m", "SENT")]) == 0
    assert statuses(path) == {"m": "SENT"}


async def test_the_loop_is_free_while_another_process_writes(path: Path) -> None:
    with ReceiptsWriter(path) as writer, held(path):
        task = asyncio.create_task(writer.add([receipt("m", "SENT")]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def test_several_writers_fold_into_one_state(path: Path) -> None:
    story = ["QUEUED", "ROUTED", "SENT", "DELIVERED"]

    def write(at: int) -> None:
        async def main() -> None:
            with ReceiptsWriter(path) as writer:
                for n in range(30):
                    mine = [receipt(f"m{n}", story[at], at), receipt(f"m{n}", "QUEUED", 0)]
                    await writer.add(mine)

        asyncio.run(main())

    threads = [threading.Thread(target=write, args=(at,)) for at in range(len(story))]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert statuses(path) == {f"m{n}": "DELIVERED" for n in range(30)}
    assert [each.status for each in history([path], "m7")] == story


async def test_a_closed_writer_takes_nothing_and_lets_nobody_wait(path: Path) -> None:
    with ReceiptsWriter(path) as writer:
        task = asyncio.create_task(writer.add([receipt("m", "SENT")]))
        await asyncio.sleep(0)
    assert await task == 1
    with pytest.raises(StoreError, match="not taken any more"):
        await writer.add([receipt("n", "SENT")])


# ---- when the disk refuses ------------------------------------------------------------------------------------------


async def test_a_full_disk_is_told_to_who_waits_and_forgotten_when_there_is_room(path: Path) -> None:
    large = [receipt(f"m{n}", "SENT", reason="x" * 2000) for n in range(200)]
    with ReceiptsWriter(path) as writer:
        await writer.add([receipt("m", "SENT")])
        writer._db.execute("PRAGMA max_page_count = 12")  # SQLite then says what it says of a full disk
        with pytest.raises(StoreError, match="full; make room"):
            await writer.add(large)
        assert writer.waiting == 0
        writer._db.execute("PRAGMA max_page_count = 100000")
        assert await writer.add(large) == 200
    assert len(statuses(path)) == 201


async def test_a_file_that_was_moved_away_is_not_written_to(path: Path, tmp_path: Path) -> None:
    with ReceiptsWriter(path) as writer:
        await writer.add([receipt("m", "SENT")])
        move(path, tmp_path / "elsewhere")
        with pytest.raises(StoreError, match="was moved or removed"):
            await writer.add([receipt("n", "SENT")])
        move(tmp_path / "elsewhere", path)
        assert await writer.add([receipt("n", "SENT")]) == 1
    assert statuses(path) == {"m": "SENT", "n": "SENT"}


@pytest.mark.parametrize(
    ("found", "error", "sentence"),
    [
        pytest.param(b"", StoreDamaged, "no file of receipts", id="an empty file"),
        pytest.param(b"no database" * 500, StoreDamaged, "is damaged", id="something else"),
    ],
)
def test_what_is_no_file_of_receipts_is_left_alone(
    path: Path, found: bytes, error: type[StoreError], sentence: str
) -> None:
    path.write_bytes(found)
    with pytest.raises(error, match=sentence):
        asyncio.run(add(path, receipt("m", "SENT")))
    with pytest.raises(error, match=sentence):
        read_states([path])
    assert path.read_bytes() == found


async def test_another_version_is_left_alone(path: Path) -> None:
    await add(path, receipt("m", "SENT"))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(BelongsToAnother, match="format 2"):
        ReceiptsWriter(path)


async def test_a_log_without_its_file_is_not_taken_for_that_of_a_new_one(path: Path) -> None:
    log = path.with_name("receipts.sqlite-wal")
    log.write_bytes(b"somebody's receipts")
    with pytest.raises(StoreDamaged, match=r"is gone, but its receipts\.sqlite-wal is there"):
        ReceiptsWriter(path)
    assert log.exists()


async def test_no_directory_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        ReceiptsWriter(tmp_path / "nowhere" / "receipts.sqlite")


async def test_two_that_make_the_file_at_once_write_to_the_same(path: Path) -> None:
    both = threading.Barrier(8)

    def write(at: int) -> None:
        async def main() -> None:
            both.wait()
            with ReceiptsWriter(path) as writer:
                await writer.add([receipt(f"m{at}", "SENT")])

        asyncio.run(main())

    threads = [threading.Thread(target=write, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(statuses(path)) == 8


# ---- what is read ---------------------------------------------------------------------------------------------------


async def test_a_run_has_its_own_file_and_the_one_above(tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "spring"
    run_dir.mkdir(parents=True)
    assert receipt_files(run_dir) == []
    own, above = run_dir / "receipts.sqlite", run_dir.parent / "receipts.sqlite"
    await add(above, receipt("m", "SENT"))
    assert receipt_files(run_dir) == [above.resolve()]
    await add(own, receipt("m", "DELIVERED", 5))
    assert receipt_files(run_dir) == [own.resolve(), above.resolve()]


async def test_several_files_are_folded_into_one_table(tmp_path: Path) -> None:
    one, other, third = (tmp_path / name for name in ("1.sqlite", "2.sqlite", "3.sqlite"))
    await add(one, receipt("a", "FAILED", 3), receipt("b", "SENT", 1, price="0.05"), receipt("é", "SENT"))
    await add(other, receipt("a", "QUEUED", 4), receipt("c", "READ"), receipt("b", "SENT", 1, price="0.05"))
    await add(third, receipt("b", "DELIVERED", 9), receipt("a", "SENT", 2))
    expected = {"a": "QUEUED", "b": "DELIVERED", "c": "READ", "é": "SENT"}
    assert statuses(one, other, third) == statuses(third, one, other) == expected
    assert list(statuses(one, other, third)) == list(expected)
    states = {row["message_id"]: row for row in read_states([one, other, third]).to_pylist()}
    assert (states["b"]["price"], states["b"]["final"]) == ("0.05", True)
    assert [(each.status, each.price) for each in history([one, other, third], "b")] == [
        ("SENT", "0.05"),
        ("DELIVERED", None),
    ]


async def test_no_file_and_an_empty_file_have_no_states(path: Path) -> None:
    assert read_states([]).num_rows == 0
    with ReceiptsWriter(path):
        pass
    states = read_states([path])
    assert states.num_rows == 0
    assert states.schema.types == [pa.string()] * 4 + [pa.int64(), pa.bool_(), pa.string()]
    assert history([path], "m") == []


async def test_many_states_come_in_batches(path: Path) -> None:
    count = 70_000
    with ReceiptsWriter(path) as writer:
        for start in range(0, count, 10_000):
            await writer.add(receipt(f"m{n:06}", "SENT") for n in range(start, start + 10_000))
    batches = list(state_batches([path]))
    assert [batch.num_rows for batch in batches] == [65_536, count - 65_536]
    assert batches[1]["message_id"][-1].as_py() == "m069999"


async def test_the_revision_changes_with_what_is_new_and_with_nothing_else(path: Path) -> None:
    assert revision([]) == ""
    with ReceiptsWriter(path) as writer:
        empty = revision([path])
        await writer.add([receipt("m", "SENT")])
        first = revision([path])
        await writer.add([receipt("m", "SENT")])
        assert revision([path]) == first != empty
        await writer.add([receipt("m", "QUEUED")])
        assert revision([path]) != first


async def test_a_reader_sees_one_moment_and_stops_no_writer(path: Path) -> None:
    with ReceiptsWriter(path) as writer:
        await writer.add(receipt(f"m{n:06}", "SENT") for n in range(70_000))
        batches = state_batches([path])
        first = next(batches)
        await writer.add(receipt(f"m{n:06}", "DELIVERED", 5) for n in range(70_000))
        seen = pa.Table.from_batches([first, *batches])
    assert set(seen["status"].to_pylist()) == {"SENT"}
    assert set(statuses(path).values()) == {"DELIVERED"}
