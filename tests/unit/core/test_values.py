import time
from dataclasses import FrozenInstanceError

import pytest

from broadcaster.clock import SystemClock
from broadcaster.core.values import Batch, Instant, Reading, Reply, Tally
from broadcaster.core.words import Channel

NOW = Instant(wall_us=1)


def reply(**headers: str) -> Reply:
    return Reply(status=200, headers=headers, body=b"secret +14155550100", started=NOW, ended=NOW)


def test_an_instant_names_the_parts_of_a_clocks_reading() -> None:
    assert Instant.at((7, 5, "boot")) == Instant(wall_us=7, boot_us=5, boot="boot")
    assert Instant.at((7, None, None)) == Instant(wall_us=7)


def test_a_systems_reading_is_an_instant_with_both_clocks_or_with_the_wall_only() -> None:
    now = Instant.at(SystemClock().reading())

    assert now.wall_us > 1_600_000_000_000_000
    assert (now.boot_us is None) == (now.boot is None)


def test_values_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Tally().accepted = 1  # type: ignore[misc]  # that is what is tested


def test_values_made_for_each_request_can_be_members_of_a_set_like_the_others() -> None:
    assert {NOW, Instant(wall_us=1), Instant(wall_us=2)} == {NOW, Instant(wall_us=2)}


@pytest.mark.parametrize(
    ("date", "server_us"),
    [
        pytest.param("Thu, 01 Jan 1970 00:00:10 GMT", 10_000_000, id="a date"),
        pytest.param("Tue, 01 Dec 2026 09:00:00 GMT", 1_796_115_600_000_000, id="a later date"),
        pytest.param("Tue, 01 Dec 2026 10:00:00 +0100", 1_796_115_600_000_000, id="another zone"),
        pytest.param("soon", None, id="no date"),
        pytest.param("", None, id="nothing"),
        pytest.param("Tue, 99 Dec 2026 09:00:00 GMT", None, id="no such day"),
    ],
)
def test_a_replys_date_is_the_servers_time(date: str, server_us: int | None) -> None:
    assert reply(date=date).server_us == server_us


def test_a_reply_without_a_date_does_not_tell_the_servers_time() -> None:
    assert reply().server_us is None


def test_a_replys_body_is_not_in_its_repr() -> None:
    assert "+1415" not in repr(reply())


def test_a_batch_asks_for_recipients_times_channels() -> None:
    batch = Batch(id=0, key="k", to=("a", "b", "c"), channels=(Channel.SMS, Channel.RCS), parameters=b"{}")

    assert batch.deliveries == 6


def test_a_reading_counts_what_is_missing() -> None:
    assert Reading(message_ids=("a", None, "b", None), server_to={}).missing == 2


def test_a_tally_adds_up() -> None:
    assert Tally(pending=1, accepted=2, rejected=4, excluded=8, in_doubt=16).total == 31


def test_a_date_without_a_zone_is_utc_whatever_the_machine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    now = Instant(wall_us=0)
    for written in ("Sat, 21 Nov 2026 02:00:00 GMT", "Sat, 21 Nov 2026 02:00:00 -0000", "Sat, 21 Nov 2026 02:00:00"):
        reply = Reply(status=200, headers={"date": written}, body=b"", started=now, ended=now)
        assert reply.server_us == 1_795_226_400_000_000
    monkeypatch.undo()
    time.tzset()
