"""A job file becomes a job, or one message with every mistake."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from pydantic import ValidationError

from broadcaster.core.words import Channel
from broadcaster.errors import ExitCode, JobInvalid
from broadcaster.job.load import job_from, load_job, render_campaign
from broadcaster.job.mistakes import nearest_key
from broadcaster.job.model import Job
from broadcaster.job.regions import REGIONS

TEMPLATE = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
REPOSITORY = Path(__file__).parents[3]


def values(**tables: Any) -> dict[str, Any]:
    """A job that is right, with some of its keys replaced."""
    job: dict[str, Any] = {
        "campaign": "spring",
        "recipients": {"file": "list.csv"},
        "message": {"template_id": TEMPLATE},
    }
    for name, table in tables.items():
        job[name] = {**job.get(name, {}), **table} if isinstance(table, dict) else table
    return job


def make(given: Mapping[str, Any]) -> Job:
    return job_from(given, base=Path("/jobs"), name="spring.toml")


def mistakes(given: Mapping[str, Any]) -> list[str]:
    with pytest.raises(JobInvalid) as refused:
        make(given)
    first, *lines = refused.value.sentence.splitlines()
    assert first == f"spring.toml: {len(lines)} mistake{'s' * (len(lines) != 1)}"
    assert all(line.startswith("  ") for line in lines)
    return [line.strip() for line in lines]


ONE_MISTAKE = [
    ("an empty campaign", values(campaign=""), 'campaign: "" is not allowed; it is 1 to 100 letters'),
    ("a campaign that hides", values(campaign=".spring"), 'campaign: ".spring" is not allowed'),
    ("a campaign that leads elsewhere", values(campaign="a/../b"), 'campaign: "a/../b" is not allowed'),
    ("a campaign that is too long", values(campaign="x" * 101), "campaign: "),
    ("a placeholder that campaigns do not have", values(campaign="a-{day}"), 'campaign: "a-{day}" is not allowed'),
    ("a campaign in another mode's directory", values(campaign="a.simulated"), "campaign: "),
    ("a campaign beyond ASCII", values(campaign="früh"), 'campaign: "früh" is not allowed'),
    ("no campaign", {k: v for k, v in values().items() if k != "campaign"}, "campaign: missing; it is 1 to 100"),
    ("no list", values(recipients={"file": []}), "recipients.file: [] is not allowed; it is a file or a list"),
    ("a list that is no text", values(recipients={"file": ["a", 3]}), 'recipients.file: ["a", 3] is not allowed'),
    ("one suppression list", values(recipients={"suppress": "a"}), "recipients.suppress: "),
    ("a region in a word", values(recipients={"default_region": "USA"}), 'recipients.default_region: "USA"'),
    ("a region that does not exist", values(recipients={"default_region": "UK"}), 'recipients.default_region: "UK"'),
    ("an encoding nobody knows", values(recipients={"encoding": "utf-9"}), 'recipients.encoding: "utf-9"'),
    ("a codec that is not for text", values(recipients={"encoding": "hex"}), 'recipients.encoding: "hex"'),
    ("two delimiters", values(recipients={"delimiter": ";;"}), 'recipients.delimiter: ";;"'),
    ("a quote as delimiter", values(recipients={"delimiter": '"'}), "recipients.delimiter: "),
    ("a blank column", values(recipients={"phone": " "}), 'recipients.phone: " " is not allowed; it is the name of'),
    ("a zone that does not exist", values(timezone="Mars/Base"), 'timezone: "Mars/Base" is not allowed'),
    ("a directory of zones", values(timezone="Europe"), 'timezone: "Europe" is not allowed'),
    ("a path as zone", values(timezone="../etc"), 'timezone: "../etc" is not allowed'),
    ("no message", values() | {"message": {}}, "message: exactly one of template_id, template_name, text is needed; f"),
    ("two messages", values(message={"text": "hi"}), "message: exactly one of"),
    ("two templates", values(message={"template_name": "x"}), "message: exactly one of"),
    ("an id that is no UUID", values(message={"template_id": "spring"}), 'message.template_id: "spring" is not'),
    ("a column in a text", values() | {"message": {"text": "Hi {name}"}}, "message.text: text is the same for"),
    (
        "parameters of a text",
        values() | {"message": {"text": "Hi", "parameters": {"a": "b"}}},
        "message.parameters: parameters belong to a template",
    ),
    (
        "a broken placeholder",
        values(message={"parameters": {"a": "{b"}}),
        "message.parameters.a: the '{' at character 1",
    ),
    ("a parameter that is no text", values(message={"parameters": {"a": 5}}), "message.parameters.a: 5 is not allowed"),
    ("a parameter without a name", values(message={"parameters": {"": "x"}}), 'message.parameters: "" is not allowed'),
    ("a channel nobody knows", values(message={"channels": ["fax"]}), 'message.channels: ["fax"] is not allowed'),
    ("a channel twice", values(message={"channels": ["sms", "sms"]}), "message.channels: sms, sms: a channel stands"),
    ("auto and another", values(message={"channels": ["auto", "sms"]}), "message.channels: auto, sms: when the API"),
    ("both words for auto", values(message={"channels": ["auto", "sent"]}), "message.channels: auto, sent: a channel"),
    ("channels that are no list", values(message={"channels": "sms"}), 'message.channels: "sms" is not allowed'),
    (
        "no rows in a batch",
        values(limits={"batch_size": 0}),
        "limits.batch_size: 0 is not allowed; it is a whole number",
    ),
    ("too large a batch", values(limits={"batch_size": 1001}), "limits.batch_size: 1001 is not allowed; it is a whole"),
    ("a number in quotes", values(limits={"concurrency": "8"}), 'limits.concurrency: "8" is not allowed; it is a'),
    ("a switch for a number", values(limits={"concurrency": True}), "limits.concurrency: true is not allowed"),
    ("too fast", values(limits={"requests_per_minute": 100_001}), "limits.requests_per_minute: 100001 is not"),
    ("a cost without a price", values(limits={"max_cost": 5.0}), "limits.max_cost: needs price_per_message"),
    ("a canary that is half of the list", values(safety={"canary": 1001}), "safety.canary: 1001 is not allowed; it is"),
    ("a share above one", values(safety={"halt_share": 1.5}), "safety.halt_share: 1.5 is not allowed; it is a number"),
    ("a share that is no number", values(safety={"halt_share": float("nan")}), "safety.halt_share: "),
    (
        "a duration without a unit",
        values(safety={"give_up_after": 30}),
        "safety.give_up_after: 30 is not allowed; it is",
    ),
    ("a duration in days", values(api={"timeout": "1d"}), 'api.timeout: "1d" is not allowed; it is a duration'),
    ("no time at all", values(api={"timeout": "0s"}), 'api.timeout: "0s" is not allowed'),
    ("a table that is none", values(limits=5), "limits: 5 is not allowed; it is a table"),
    ("a kind nobody knows", values(kind="emails"), 'kind: "emails" is not allowed; it is "message" or "contacts"'),
    # reserved
    ("contacts that are messaged", values(kind="contacts"), "message: contacts are created, and nobody is messaged"),
    ("contacts of a version nobody knows", values(api={"version": "v2"}), 'api.version: "v2" is not allowed'),
    ("a filter that is no text", values(recipients={"filter": 5}), "recipients.filter: 5 is not allowed; it is an ex"),
    ("a group without a column", values(recipients={"group_by": " "}), 'recipients.group_by: " " is not allowed'),
    # times
    (
        "a moment without an offset",
        values(schedule={"send_at": "2026-12-01T09:00"}),
        "schedule.send_at: '2026-12-01T09:00' is no moment with an explicit",
    ),
    (
        "a moment that is a number",
        values(schedule={"send_at": 9}),
        "schedule.send_at: 9 is not allowed; it is a moment",
    ),
    (
        "a time that no clock shows",
        values(schedule={"send_at_local": "25:00"}),
        'schedule.send_at_local: "25:00" is not',
    ),
    (
        "two times",
        values(schedule={"send_at": "2026-12-01T09:00Z", "send_at_local": "10:00"}),
        "schedule.send_at_local: stands beside send_at",
    ),
    (
        "a rule for unknown zones",
        values(schedule={"unknown_zone": "utc"}),
        'schedule.unknown_zone: "utc" is not allowed',
    ),
    (
        "an offset that nobody has",
        values(schedule={"unknown_zone": "UTC+15"}),
        'schedule.unknown_zone: "UTC+15" is not',
    ),
    ("a window without minutes", values(schedule={"window": "Mon-Fri 9-20"}), "schedule.window: 'Mon-Fri 9-20' has no"),
    ("a run that waits for nothing", values(schedule={"hold": "run"}), 'schedule.hold: "run" needs a window'),
    (
        "a run that waits for a moment",
        values(schedule={"send_at": "2026-12-01T09:00Z", "window": "09:00-20:00", "hold": "run"}),
        'schedule.hold: "run" is for a window without a send time',
    ),
    (
        "an end before the beginning",
        values(schedule={"send_at": "2026-12-01T09:00Z", "not_after": "2026-12-01T09:00+01:00"}),
        "schedule.not_after: is before send_at",
    ),
    ("stages without a time", values(schedule={"staged": True}), "schedule.staged: needs send_at or send_at_local"),
    ("stages that are a word", values(schedule={"staged": "yes"}), 'schedule.staged: "yes" is not allowed; it is true'),
    # a canary whose fate nobody could learn in time
    (
        "a canary among contacts",
        {k: v for k, v in values(kind="contacts", safety={"canary": 5}).items() if k != "message"},
        "safety.canary: contacts are created, nobody is messaged",
    ),
    (
        "a canary without message ids",
        values(api={"version": "v1"}, safety={"canary": 5}),
        'safety.canary: version "v1" of the API names no messages',
    ),
    (
        "a canary that the API holds",
        values(schedule={"send_at": "2026-12-01T09:00Z"}, safety={"canary": 5}),
        "safety.canary: the API holds these messages until their send time",
    ),
    (
        "a canary that a window holds",
        values(schedule={"window": "09:00-20:00"}, safety={"canary": 5}),
        "safety.canary: the API holds these messages until their send time",
    ),
    (
        "an address to tell without encryption",
        values(notify={"url": "http://x.example/secret"}),
        "notify.url: http is only allowed for this machine itself; use https",
    ),
    (
        "an address to tell that is none",
        values(notify={"url": "x.example"}),
        "notify.url: it is not an address such as https://example.com/hook",
    ),
    # several profiles
    ("a column without profiles", values(recipients={"profile": "brand"}), "recipients.profile: needs a [[profiles]]"),
    ("profiles that are nobody", values(profiles=[{"name": "a"}]), "profiles: each needs the id of a profile"),
    (
        "profiles of one name",
        values(profiles=[{"name": "a", "key_env": "A"}, {"name": "A", "key_env": "B"}]),
        "profiles: two of them have the same name",
    ),
    (
        "profiles that are one",
        values(profiles=[{"name": "a", "id": TEMPLATE}, {"name": "b", "id": TEMPLATE.upper()}]),
        "profiles: two of them have the same key_env and id",
    ),
    (
        "a name that is no directory",
        values(profiles=[{"name": "../a", "key_env": "A"}]),
        'profiles[0].name: "../a" is not allowed; it is 1 to 64 letters',
    ),
    (
        "a key itself",
        values(profiles=[{"name": "a", "key_env": "sk_CANARY"}]),
        "profiles[0].key_env: it is the name of a variable of the environment, such as ACME_KEY, and not the key",
    ),
    (
        "a limit of what is shared",
        values(profiles=[{"name": "a", "id": TEMPLATE, "requests_per_minute": 5}]),
        "profiles[0].requests_per_minute: is for a profile with a key_env",
    ),
    (
        "profiles of the first version",
        values(api={"version": "v1"}, profiles=[{"name": "a", "key_env": "A"}]),
        'profiles: version "v1" of the API has none',
    ),
    # unknown keys
    (
        "a slip of the finger",
        values(recipients={"phon": "m"}),
        "recipients.phon: unknown key; did you mean recipients.ph",
    ),
    (
        "another table's key",
        values(message={"batch_size": 5}),
        "message.batch_size: unknown key; did you mean limits.b",
    ),
    ("a key without its table", values(concurency=5), "concurency: unknown key; did you mean limits.concurrency?"),
    ("a table with a slip", values(limit={"batch_size": 5}), "limit: unknown key; did you mean limits?"),
    ("a key like nothing", values(api={"xyzzy": "CANARY"}), "api.xyzzy: unknown key"),
    ("the model's own word", values(base="/tmp"), "base: unknown key"),
]


@pytest.mark.parametrize(("given", "line"), [pytest.param(g, line, id=name) for name, g, line in ONE_MISTAKE])
def test_a_mistake_is_named_with_its_key(given: dict[str, Any], line: str) -> None:
    (told,) = mistakes(given)

    assert told.startswith(line)
    assert "CANARY" not in told


def test_all_mistakes_are_told_at_once() -> None:
    told = mistakes(
        values(
            campaign="",
            kind="emails",
            recipients={"phon": "mobile", "default_region": "UK"},
            message={"template_id": "x", "text": "Hi {name}", "parameters": {"a": "{"}},
            limits={"batch_size": 0},
            safety=3,
        )
    )

    assert [line.partition(":")[0] for line in told] == [
        "campaign",
        "kind",
        "recipients.default_region",
        "recipients.phon",
        "message.template_id",
        "message",
        "message.parameters.a",
        "limits.batch_size",
        "safety",
    ]


@pytest.mark.parametrize(
    "schedule",
    [{"window": "09:00-20:00", "hold": "run"}, {"not_after": "2026-12-01T09:00Z"}],
    ids=["the run waits for its window", "only an end"],
)
def test_a_canary_may_go_before_what_is_sent_at_once(schedule: dict[str, Any]) -> None:
    assert make(values(schedule=schedule, safety={"canary": 5})).safety.canary == 5


def test_the_defaults_are_those_of_the_design() -> None:
    job = make(values())

    assert (job.kind, job.timezone, job.message.channels) == ("message", "UTC", (Channel.AUTO,))
    assert (job.message.body_length, dict(job.message.parameters)) == (320, {})
    assert (job.recipients.phone, job.recipients.default_region, job.recipients.suppress) == (None, None, ())
    assert job.limits.model_dump() == {
        "requests_per_minute": 200,
        "messages_per_minute": 0,
        "batch_size": 1000,
        "concurrency": 8,
        "max_messages": 0,
        "price_per_message": None,
        "max_cost": None,
    }
    assert (job.safety.halt_count, job.safety.halt_share, job.safety.give_up_after) == (10, 0.10, 1800.0)
    assert (job.api.version, job.api.idempotency_window, job.api.timeout) == ("v3", 86_400.0, 60.0)


def test_reserved_keys_may_say_what_holds_anyway() -> None:
    job = make(
        values(
            kind="message",
            recipients={"filter": ""},
            schedule={"window": "", "staged": False, "unknown_zone": "exclude"},
            safety={"canary": 0, "canary_wait": "5m"},
            api={"version": "v3"},
            notify={"url": ""},
        )
    )

    assert job.safety.canary_wait == 300.0


@pytest.mark.parametrize(
    ("written", "seconds"), [("250ms", 0.25), ("4s", 4.0), ("10m", 600.0), ("24h", 86_400.0), ("1200ms", 1.2)]
)
def test_a_duration_is_seconds_and_is_written_with_its_unit(written: str, seconds: float) -> None:
    job = make(values(api={"timeout": written}))

    assert job.api.timeout == pytest.approx(seconds)
    assert Job.model_validate(job.model_dump()).api == job.api


@pytest.mark.parametrize(
    ("written", "channels"),
    [
        pytest.param([], (Channel.AUTO,), id="none named"),
        pytest.param(["auto"], (Channel.AUTO,), id="auto"),
        pytest.param(["sent"], (Channel.AUTO,), id="the API's word for auto"),
        pytest.param(["whatsapp", "sms"], (Channel.WHATSAPP, Channel.SMS), id="two, in their order"),
    ],
)
def test_channels_are_never_empty(written: list[str], channels: tuple[Channel, ...]) -> None:
    assert make(values(message={"channels": written})).message.channels == channels


def test_a_job_is_frozen_and_its_dump_is_a_job_without_its_base() -> None:
    job = make(values(recipients={"file": ["a.csv", "b/*.csv"]}, message={"parameters": {"n": "{name}"}}))

    assert job_from(job.model_dump(), base=job.base, name="dump") == job
    assert "base" not in job.model_dump()
    with pytest.raises(ValidationError, match="frozen"):
        job.campaign = "other"  # type: ignore[misc]  # the point of the test


def test_paths_start_at_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        'campaign = "a"\nrecipients.file = "x.csv"\nmessage.text = "hi"\n', encoding="utf-8"
    )

    job = load_job(tmp_path / "job.toml")

    assert job.base == tmp_path
    assert job.recipients.file == "x.csv"
    assert job.recipients.files == ("x.csv",)
    assert job.resolve("../x.csv") == tmp_path / "../x.csv"
    assert job.resolve("/else/x.csv") == Path("/else/x.csv")


def test_flags_go_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'campaign = "a"\nrecipients.file = "x.csv"\nmessage.text = "hi"\nlimits.batch_size = 5\n', encoding="utf-8"
    )

    job = load_job(file, flags={"limits.batch_size": 7, "safety.halt_count": 3, "campaign": None})

    assert (job.campaign, job.limits.batch_size, job.safety.halt_count) == ("a", 7, 3)
    with pytest.raises(JobInvalid, match=r"limits.batch_size: 0 is not allowed"):
        load_job(file, flags={"limits.batch_size": 0})


def test_a_flag_does_not_hide_that_a_table_is_none(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('campaign = "a"\nlimits = 5\n', encoding="utf-8")

    with pytest.raises(JobInvalid, match=r"limits: 5 is not allowed; it is a table"):
        load_job(tmp_path / "job.toml", flags={"limits.batch_size": 7})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b'campaign = "a"\nlimits = [1,\n', "(at end of document)", id="cut off"),
        pytest.param(b'campaign = "a"\nfoo bar\n', "(at line 2, column 5)", id="no TOML"),
        pytest.param(b'campaign = "a"\n\ncampaign = "b"\n', "(at line 3, column 15)", id="a key twice"),
        pytest.param(b'campaign = "a"\n# caf\xe9\n', "line 2: the byte 0xe9 is not UTF-8", id="not UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "job.toml").write_bytes(content)

    with pytest.raises(JobInvalid) as refused:
        load_job(tmp_path / "job.toml")

    assert refused.value.sentence.startswith(f"{tmp_path / 'job.toml'}: 1 mistake\n  ")
    assert sentence in refused.value.sentence
    assert refused.value.exit_code == ExitCode.USAGE


def test_a_file_with_a_mark_in_front_is_read(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_bytes(b'\xef\xbb\xbfcampaign = "a"\nrecipients.file = "x.csv"\nmessage.text = "hi"\n')

    assert load_job(tmp_path / "job.toml").campaign == "a"


def test_what_is_not_a_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(JobInvalid, match="there is no such file"):
        load_job(tmp_path / "none.toml")
    with pytest.raises(JobInvalid, match="is a directory"):
        load_job(tmp_path)


def test_the_campaign_is_rendered_with_the_day() -> None:
    job = make(values(campaign="daily-{date}"))

    assert job.campaign == "daily-{date}"
    assert render_campaign(job, day=date(2026, 12, 1)) == "daily-2026-12-01"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("recipients.defaultregion", "recipients.default_region"),
        ("message.template", "message.template_id"),
        ("limits.rate_per_minute", "limits.requests_per_minute"),
        ("safety.timeout", "api.timeout"),
        ("recipients.body_lenght", "message.body_length"),
        ("xyzzy", None),
    ],
)
def test_the_nearest_right_key_is_found_across_tables(written: str, meant: str | None) -> None:
    assert nearest_key(written) == meant


def test_the_regions_are_those_of_the_numbering_metadata() -> None:
    assert set(phonenumbers.SUPPORTED_REGIONS) == REGIONS


@pytest.mark.parametrize("name", ["service_notice", "spring_sale", "storm_alert"])
def test_the_jobs_of_the_repository_are_right_and_their_lists_are_there(name: str) -> None:
    job = load_job(REPOSITORY / "jobs" / f"{name}.toml")

    assert job.recipients.default_region == "US"
    assert all(job.resolve(path).is_file() for path in (*job.recipients.files, *job.recipients.suppress))
