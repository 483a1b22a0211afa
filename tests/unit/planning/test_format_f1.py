"""Format f1, for ever: a fixed job and a fixed list make exactly these keys, on any machine, in any environment.

A change here means that a resumed run, or the same job started on another machine, sends everything a second time.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.plans import freeze, make_job, phone

from broadcaster.core.words import Mode
from broadcaster.store.plan import Plan

TEMPLATE = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"
CAMPAIGN = "spring-sale-2026"
NAMES = ["Zo\u00eb", "ISMAIL", "ismail", "\u0130lker", "Zo\u00eb", 'a"b\\/c', "ISMAIL", "", "\U0001f600", "Zo\u00eb"]
LIST = "id,mobile,name,plan\n" + "".join(
    f'c{n},{phone(n % 9)},"{name.replace(chr(34), chr(34) * 2)}",{("pro", "free")[n % 2]}\n'
    for n, name in enumerate(NAMES)
)
PARAMETERS = {"name": "{name}", "\u00e4": "Tarif: {plan}", "code": "SPRING"}

# By batch: the rows of the list, the parameters.
BATCHES: list[tuple[list[int], dict[str, str]]] = [
    ([0, 4], {"code": "SPRING", "name": "Zo\u00eb", "\u00e4": "Tarif: pro"}),
    ([1], {"code": "SPRING", "name": "ISMAIL", "\u00e4": "Tarif: free"}),
    ([2], {"code": "SPRING", "name": "ismail", "\u00e4": "Tarif: pro"}),
    ([3], {"code": "SPRING", "name": "\u0130lker", "\u00e4": "Tarif: free"}),
    ([5], {"code": "SPRING", "name": 'a"b\\/c', "\u00e4": "Tarif: free"}),
    ([6], {"code": "SPRING", "name": "ISMAIL", "\u00e4": "Tarif: pro"}),
    ([8], {"code": "SPRING", "name": "\U0001f600", "\u00e4": "Tarif: pro"}),
]
KEYS = [
    "f1-unvweyv7dxhabzfilojeoz4hf5tatvafsu5kyjmo",
    "f1-qw5yaynsiyt6cdh7upnl26nsnfhjdyev6vyhf537",
    "f1-4x2bosf7yd6smv6xp6qaqyrlgjjnjbkksqdjcv5q",
    "f1-q2wybgq3h4fq33qzxntvlas7cmqsyvpnwqfjlu64",
    "f1-wuqoy4h45i7imomg5zt5pyjake2dwhmx2siq4s5k",
    "f1-cbgm5p4z5pqpoyezuvq52facfmr4em6aravk7rat",
    "f1-va43vgbi7ahoujrgavemaf6o53c5pbymmfpqfgku",
]


def plan_of(base: Path) -> Plan:
    (base / "list.csv").write_bytes(LIST.encode())
    tables: dict[str, dict[str, Any]] = {
        "message": {"template_id": TEMPLATE, "parameters": PARAMETERS, "channels": ["whatsapp", "sms"]},
        "limits": {"batch_size": 2},
    }
    return freeze(base, make_job(base, tables, campaign=CAMPAIGN), mode=Mode.SIMULATED, profile="p-1").plan


def keys_of(base: Path) -> list[str]:
    return [batch.key for batch in plan_of(base).read_batches()]


def key_by_definition(rows: list[int], parameters: dict[str, str]) -> str:
    """Return the key as design.md defines it, written without a line of the program."""
    body = json.dumps(
        {
            "to": [phone(row) for row in rows],
            "channel": ["whatsapp", "sms"],
            "template": {"id": TEMPLATE, "parameters": dict(sorted(parameters.items()))},
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    words = ("f1", CAMPAIGN, "0", "simulated", "p-1", "POST", "/v3/messages", body)
    joined = "\0".join(words)
    return "f1-" + base64.b32encode(hashlib.sha256(joined.encode()).digest()).decode().lower()[:40]


def test_a_fixed_job_and_list_make_these_keys_for_ever(tmp_path: Path) -> None:
    assert keys_of(tmp_path) == KEYS


def test_the_keys_are_what_the_definition_says() -> None:
    assert [key_by_definition(rows, parameters) for rows, parameters in BATCHES] == KEYS


def test_the_batches_are_in_the_order_of_the_format(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)

    assert [(rows.tolist(), json.loads(batch.parameters)) for batch, rows in plan.read_with_rows()] == BATCHES


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "Asia/Tokyo"}, id="C locale, Tokyo"),
        pytest.param({"PYTHONHASHSEED": "1", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns"}, id="Turkish"),
    ],
)
def test_no_environment_changes_a_key(tmp_path: Path, environment: dict[str, str]) -> None:
    tests = Path(__file__).resolve().parents[2]
    code = (
        "import importlib.util, pathlib, sys\n"
        f"spec = importlib.util.spec_from_file_location('golden', {str(Path(__file__))!r})\n"
        "golden = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(golden)\n"
        "print(*golden.keys_of(pathlib.Path(sys.argv[1])))\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON", "TZ"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**kept, **environment, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.split() == KEYS
