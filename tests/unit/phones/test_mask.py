"""Numbers in sentences are hidden, and what only looks like one is left alone."""

import pytest

from broadcaster.phones import mask_in

SENTENCES = {
    "+14155550123 is wrong": "+1••••••••23 is wrong",
    "(+447700900123, +14155550100)": "(+44••••••••23, +1••••••••00)",
    "14155550123 is wrong": "141••••••23 is wrong",
    "nothing": "nothing",
    "2026-12-01 09:00, 1,234,567 of 9200000": "2026-12-01 09:00, 1,234,567 of 9200000",
    "broadcaster resume runs/alert-202612010900": "broadcaster resume runs/alert-202612010900",
    "/tmp/1764580000123456/x": "/tmp/1764580000123456/x",
    "f1-4155550123abc": "f1-4155550123abc",
}


@pytest.mark.parametrize(("text", "shown"), SENTENCES.items(), ids=SENTENCES)
def test_numbers_in_a_sentence(text: str, shown: str) -> None:
    assert mask_in(text) == shown
