"""The README promises only what a test holds it to."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What happens when … · the test that makes it happen
FAULTS = {
    "you press Ctrl-C (or SIGTERM, SIGHUP)": "test_the_first_signal_finishes_what_is_in_flight",
    "you press it twice": "test_the_second_signal_stops_at_once_and_names_the_doubt",
    "the process is killed, the machine loses power": "test_a_life_ends_at_every_place",
    "the network drops an answer, the API says 500": "test_everybody_gets_it_once_in_spite_of",
    "the API says 429": "test_retry_after_holds_for_everybody",
    "the API does not answer for 30 minutes": "test_an_api_that_stays_silent_is_given_up",
    "the API refuses the key (401, 403)": "test_a_key_that_is_refused_on_the_way_stops_the_run_at_the_first_answer",
    "the API refuses one number of a batch": "test_a_refused_number_is_rejected_alone_however_the_api_names_it",
    "the balance is used up (402)": "test_the_corner_case",
    "many deliveries are rejected": "test_too_many_refusals_halt_the_run",
    "messages are accepted and then blocked": "test_the_trap_ends_with_25_messages_and_not_5000",
    "an answer names people nobody asked for": "test_an_answer_that_contradicts_the_request_halts_the_run",
    "the API fails again and again": ("test_an_api_that_is_down_is_left_alone_until_one_request_finds_it_well_again"),
    "more than a day passes before you resume": "test_what_is_past_the_window_is_in_doubt_and_listed",
    "an answer lacks some of the people asked for": (
        "test_the_recipients_that_an_answer_lacks_are_decided_about_alone"
    ),
    "the clock of the machine jumps back": "test_what_was_in_flight_is_never_repeated_when",
    "the run goes on on another machine": "test_a_run_that_another_machine_worked_on_says_so",
    "a file of the run is damaged": "test_a_damaged_plan_is_never_sent",
    "the list or the job changed since the plan was frozen": "test_a_plan_is_not_gone_on_with_by",
    "somebody paused the run": "test_a_paused_run_that_ends_is_not_gone_on_with_before_go",
    "two runs in one directory": "test_two_runs_on_one_directory_the_second_names_the_first",
    "the same campaign from a second directory": "test_the_same_plan_from_a_second_directory_is_all_replays",
    "a worker of a cluster dies, or hangs": "test_ctrl_c_is_for_the_driver_and_a_worker_that_is_killed_is_replaced",
    "the scheduler of a cluster dies": "test_a_stopped_worker_is_replaced_and_woken_and_the_scheduler_is_lost",
    "a worker cannot reach the scheduler": "test_without_an_answer_there_is_no_turn",
    "the disk is full": "test_on_a_full_disk_the_run_stops_and_with_more_room_it_ends",
}


def rows_of(heading: str) -> Iterator[list[str]]:
    """Yield the cells of the table below a heading of the README, without its head."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    for line in [line for line in section.splitlines() if line.startswith("| ")][1:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def names_of_tests() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
    return found


def test_every_fault_that_the_readme_speaks_of_is_made_by_a_test() -> None:
    assert {cells[0] for cells in rows_of("What happens when")} == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_test_of_a_fault_is_there(fault: str) -> None:
    assert FAULTS[fault] in names_of_tests()


def test_every_command_stands_in_the_readme() -> None:
    from broadcaster.cli import _COMMANDS

    documented = {cells[0].strip("`").split()[0] for cells in rows_of("Commands") if cells[0].startswith("`")}
    assert set(_COMMANDS) <= documented
