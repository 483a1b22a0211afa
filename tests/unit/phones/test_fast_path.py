"""The walk in front of the judge: what it must decide, what it must leave, and how it does without its automaton."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import phonenumbers
import pyarrow as pa
import pytest
from phonenumbers import PhoneMetadata, PhoneNumberFormat
from phonenumbers.phonemetadata import PhoneNumberDesc

from broadcaster.phones import automaton as automata
from broadcaster.phones import cache, normalise, patterns
from broadcaster.phones.automaton import Automaton
from broadcaster.phones.judge import Kind, judge
from broadcaster.phones.patterns import Surprise
from broadcaster.phones.shelf import Shelf, agrees
from broadcaster.phones.walk import Walker

US = 14155550100
GB = 442079460018
BERLIN = 493023125000

# Were one of these left to the judge, nothing would be wrong, and lists of them slow.
DECIDED = [
    ("international", "+14155550100", None, US),
    ("in groups", "+1 415 555 0100", None, US),
    ("with brackets and a hyphen", "+1 (415) 555-0100", None, US),
    ("with dots", "+1.415.555.0100", None, US),
    ("with the plus in brackets", "(+1) 415 555 0100", None, US),
    ("with space round it", "  +14155550100 ", None, US),
    ("with the way out in a group of its own", "011 1 415 555 0100", "US", US),
    ("national", "(415) 555-0100", "US", US),
    ("national, another region of the same code", "(415) 555-0100", "CA", US),
    ("national, a region in small letters and space", "415.555.0100", " us ", US),
    ("with the trunk 1, which is the country code as well", "1-415-555-0100", "US", US),
    ("with the way out of another region", "011-1-415-555-0100", "US", US),
    ("international in a list of another region", "+1 415 555 0100", "DE", US),
    ("international with an unknown region", "+1 415 555 0100", "USA", US),
    ("00 for the plus", "0044 20 7946 0018", "DE", GB),
    ("with a trunk 0", "020 7946 0018", "GB", GB),
    ("with a trunk 0, in a region beside the main one", "020 7946 0018", "GG", GB),
    ("with a trunk 0 after the country code", "+44 (0)20 7946 0018", None, GB),
    ("without a trunk", "2079460018", "GB", GB),
    ("with the country code, but without its plus", "442079460018", "GB", GB),
    ("in many groups, and 00 for the plus", "00 49 30 23125 000", "GB", BERLIN),
    ("a group of a number's length, and a few digits more", "+4930 23125000", None, BERLIN),
    ("with a Japanese trunk", "03 1234 5678", "JP", 81312345678),
    ("with slashes", "030/23125-000", "DE", BERLIN),
    ("in groups of two", "0 30 23 12 50 00", "DE", BERLIN),
    ("an old trunk 0 written twice is no way out", "+49 030 23125000", None, BERLIN),
    ("a toll-free number of the world", "+800 1234 5678", None, 80012345678),
]

REFUSED = [
    ("a digit too many", "+1 415 555 01000", None, Kind.TOO_LONG),
    ("a digit too few", "+1 415 555 010", None, Kind.TOO_SHORT),
    ("without its area code", "555-0100", "US", Kind.TOO_SHORT),
    ("never assigned", "(415) 055-0100", "US", Kind.NOT_VALID),
    ("never assigned, with the country code", "1 415 055-0100", "US", Kind.NOT_VALID),
    ("too short after its trunk", "020 79", "GB", Kind.TOO_SHORT),
    ("no country code and no region", "(415) 555-0100", None, Kind.NO_COUNTRY),
    ("00 where no region tells", "0014155550100", None, Kind.NO_COUNTRY),
    ("no country code and a word for a region", "4155550100", "California", Kind.UNKNOWN_REGION),
    ("a type's pattern that the general one does not match", "+49 4930123456", None, Kind.NOT_VALID),
]

UNDECIDED = [
    ("nothing", "", "US"),
    ("only space", "   ", "US"),
    ("only marks", "+-()", "US"),
    ("one digit", "+1", "US"),
    ("a whole number with a decimal", "14155550100.0", "US"),
    ("a decimal with a plus", "+14155550100.00", "US"),
    ("a number with a fraction", "1415555.01", "US"),
    ("a number with a fraction, and space round it", " 415555010.5 ", "US"),
    ("a decimal comma", "4155550100,00", "US"),
    ("scientific notation", "1.41555E+10", "US"),
    ("a formula", "=+14155550100", "US"),
    ("two numbers with a space", "4155550100 4155550101", "US"),
    ("two numbers with two spaces", "4155550100  4155550101", "US"),
    ("two numbers with a slash", "4155550100/4155550101", "US"),
    ("two numbers, each with its plus", "+14155550100+14155550101", "US"),
    ("two numbers on two lines", "4155550100\n4155550101", "US"),
    ("a minus sign", "-14155550100", "US"),
    ("a dot in front", ".4155550100", "US"),
    ("a closing bracket in front", ")4155550100", "US"),
    ("a slash in front", "/4155550100", "US"),
    ("an indented minus sign", "  -14155550100", "US"),
    ("a spreadsheet's apostrophe", "'+14155550100", "US"),
    ("an extension", "415-555-0100 x12", "US"),
    ("letters", "1-800-FLOWERS", "US"),
    ("two pluses", "++14155550100", "US"),
    ("a plus in the middle", "415+5550100", "US"),
    ("a plus after a bracket and a digit", "(1+) 4155550100", "US"),
    ("a no-break space", "+1\u00a0415\u00a0555\u00a00100", "US"),
    ("full-width digits", "+1４１５５５５０１００", "US"),  # noqa: RUF001 - the point of the row
    ("Arabic-Indic digits", "٤١٥٥٥٥٠١٠٠", "US"),
    ("a NUL", "+1415\x005550100", "US"),
    ("more digits than an integer holds", "4" * 40, "US"),
    ("a long cell", "+1 415 555 0100" + " " * 60, "US"),
    ("a country code that does not exist", "+999 4155550100", "US"),
    ("a way out that could be a number as well", "00", "US"),
    ("a local number that its region would rewrite", "457 1234", "AG"),
    ("an old Argentine mobile, which becomes another number", "011 15 1234-5678", "AR"),
    ("a Brazilian carrier, which is taken away", "0 15 11 2345-6789", "BR"),
]


@pytest.fixture(scope="module")
def automaton() -> Automaton:
    return automata.build()


@pytest.fixture(scope="module")
def walker(automaton: Automaton) -> Walker:
    return Walker(automaton)


@pytest.fixture
def ready(automaton: Automaton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shelf that has its automaton, and takes it for columns of any length."""
    path = tmp_path / "automaton.npz"
    assert cache.save(automaton, path)
    shelf = Shelf(path)
    shelf.walker(1_000)
    monkeypatch.setattr("broadcaster.phones.current_shelf", lambda: shelf)


def _walk(walker: Walker, text: str, region: str | None) -> tuple[int, int]:
    e164, fault = walker.walk(pa.array([text]), walker.homes([region]))
    return int(e164[0]), int(fault[0])


@pytest.mark.parametrize(("text", "region", "number"), [pytest.param(t, r, n, id=name) for name, t, r, n in DECIDED])
def test_what_lists_are_full_of_is_decided_without_the_judge(
    walker: Walker, text: str, region: str | None, number: int
) -> None:
    assert judge(text, region) == (number, Kind.NONE)
    assert _walk(walker, text, region) == (number, Kind.NONE)


@pytest.mark.parametrize(("text", "region", "kind"), [pytest.param(t, r, k, id=name) for name, t, r, k in REFUSED])
def test_what_lists_contain_by_mistake_has_its_fault_without_the_judge(
    walker: Walker, text: str, region: str | None, kind: Kind
) -> None:
    assert judge(text, region) == (0, kind)
    assert _walk(walker, text, region) == (0, kind)


@pytest.mark.parametrize(("text", "region"), [pytest.param(t, r, id=name) for name, t, r in UNDECIDED])
def test_what_comes_near_a_rule_is_left_to_the_judge(walker: Walker, text: str, region: str) -> None:
    assert _walk(walker, text, region) == (0, 0)


@pytest.mark.usefixtures("ready")
def test_a_column_is_what_the_judge_says_of_each_cell() -> None:
    tables = (DECIDED, REFUSED, UNDECIDED)
    rows = [(str(row[1]), None if row[2] is None else str(row[2])) for table in tables for row in table]
    texts, regions = [text for text, _ in rows], [region for _, region in rows]

    numbers = normalise(pa.array(texts), pa.array(regions))

    assert list(zip(numbers.e164.tolist(), numbers.fault.tolist(), strict=True)) == [
        judge(text, region) for text, region in rows
    ]


@pytest.mark.parametrize("region", ["IT", "VA", "SM", "AR", "MX", "BR", "RU", "KZ", "CI", "HU", "JP", "AU", "FI"])
def test_examples_are_their_own_numbers(walker: Walker, region: str) -> None:
    for kind in phonenumbers.PhoneNumberType.values():
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            continue
        text = phonenumbers.format_number(example, PhoneNumberFormat.E164)
        national = phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL)
        assert _walk(walker, text, None) in ((int(text), 0), (0, 0))
        assert _walk(walker, national, region) in ((int(text), 0), (0, 0), judge(national, region))


@pytest.mark.parametrize("code", ["+49 4930 123456", "+49 4939 950580555"])
def test_a_number_of_a_type_that_the_general_pattern_does_not_match_is_not_valid(walker: Walker, code: str) -> None:
    """Germany's fixed lines reach beyond Germany's numbers."""
    germany: Any = PhoneMetadata.metadata_for_region("DE", None)
    general, fixed = germany.general_desc.national_number_pattern, germany.fixed_line.national_number_pattern
    national = code.removeprefix("+49").replace(" ", "")
    assert re.fullmatch(fixed, national)
    assert not re.fullmatch(general, national)

    assert _walk(walker, code, None)[0] == judge(code, None)[0] == 0


# Columns as Arrow has them


COLUMN = ["+14155550100", None, "", "Ada", "(415) 555-0101", "+1 415 555 01", "14155550100.0", "+442079460018"]


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array(COLUMN), id="plain"),
        pytest.param(pa.array(COLUMN, pa.large_string()), id="large"),
        pytest.param(pa.array(COLUMN).dictionary_encode(), id="a dictionary"),
        pytest.param(pa.chunked_array([COLUMN[:3], [], COLUMN[3:]], pa.string()), id="in chunks"),
        pytest.param(pa.chunked_array([pa.array(COLUMN).dictionary_encode()]), id="a dictionary in chunks"),
        pytest.param(pa.array(["+14155550199", *COLUMN, "+14155550198"]).slice(1, len(COLUMN)), id="a slice"),
        pytest.param(pa.array([None, *COLUMN]).slice(1), id="a slice after a null"),
        pytest.param(pa.chunked_array([pa.array(["x", *COLUMN]).slice(1, 4), COLUMN[4:]]), id="slices in chunks"),
    ],
)
@pytest.mark.parametrize("each", [False, True], ids=["one region", "a region for each"])
def test_a_column_may_have_any_shape(column: Any, *, each: bool) -> None:
    region = pa.chunked_array([["US"] * 5, ["US"] * 3]) if each else "US"

    numbers = normalise(column, region)

    judged = [judge(text or "", "US") for text in COLUMN]
    assert list(zip(numbers.e164.tolist(), numbers.fault.tolist(), strict=True)) == judged


@pytest.mark.usefixtures("ready")
def test_rows_have_regions_of_their_own() -> None:
    texts = ["4155550100", "030 23125000", "020 7946 0018", "4155550100", "4155550100", "+14155550100"]
    regions = [" us", "de", "GB", None, "California", ""]

    numbers = normalise(pa.array(texts), pa.array(regions), fallback="US")

    assert numbers.e164.tolist() == [US, BERLIN, GB, US, 0, US]
    assert numbers.fault.tolist() == [0, 0, 0, 0, Kind.UNKNOWN_REGION, 0]


@pytest.mark.usefixtures("ready")
def test_a_null_is_empty_whatever_lies_under_it() -> None:
    whole = pa.array(["+14155550100", "+14155550101"])
    _, offsets, text = whole.buffers()
    column = pa.StringArray.from_buffers(2, offsets, text, null_bitmap=pa.py_buffer(b"\x02"))

    numbers = normalise(column, None)

    assert column.to_pylist() == [None, "+14155550101"]
    assert numbers.e164.tolist() == [0, 14155550101]
    assert numbers.fault.tolist() == [Kind.EMPTY, 0]


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("column", [pa.array([], pa.string()), pa.chunked_array([], pa.string()), pa.nulls(3)])
def test_a_column_may_have_nothing(column: Any) -> None:
    numbers = normalise(column, "US")

    assert numbers.e164.tolist() == [0] * len(column)
    assert numbers.fault.tolist() == [Kind.EMPTY] * len(column)


@pytest.mark.usefixtures("ready")
def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        normalise(pa.array([14155550100]), None)


@pytest.mark.usefixtures("ready")
def test_the_judge_is_not_asked_about_plain_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(text: str, region: str | None) -> tuple[int, Kind]:
        asked.append(text)
        return judge(text, region)

    monkeypatch.setattr("broadcaster.phones.judge", counted)
    plain = [f"+1 (415) 555-{last:04}" for last in range(100, 200)] * 400

    numbers = normalise(pa.array([*plain, "Ada", "Ada", "415-555-0100 x1"]), None)

    assert sorted(asked) == ["415-555-0100 x1", "Ada"]
    assert numbers.e164[:100].tolist() == [US + last for last in range(100)]
    assert np.count_nonzero(numbers.e164) == len(plain)


# Without an automaton


@pytest.fixture
def builds(automaton: Automaton, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts what is built, and builds in no time."""
    built: list[str] = []

    def build() -> Automaton:
        built.append("one")
        return automaton

    monkeypatch.setattr("broadcaster.phones.shelf.build", build)
    return built


def test_short_columns_are_judged_and_long_ones_walked(builds: list[str], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "cache" / "automaton.npz")

    assert shelf.walker(900) is None
    assert shelf.walker(900) is None
    assert shelf.walker(50_000) is not None
    assert shelf.walker(5) is not None
    assert builds == ["one"]


def test_an_automaton_is_built_once_and_read_after_that(builds: list[str], tmp_path: Path) -> None:
    path = tmp_path / "cache" / "automaton.npz"
    first = Shelf(path).walker(50_000)
    second = Shelf(path).walker(1_000)

    assert builds == ["one"]
    assert first is not None
    assert second is not None
    assert _walk(second, "(415) 555-0100", "US") == (US, 0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_is_read_is_what_was_written(automaton: Automaton, tmp_path: Path) -> None:
    path = tmp_path / "automaton.npz"
    assert cache.save(automaton, path)
    read = cache.load(path)

    assert read is not None
    assert (read.regions, read.abroad) == (automaton.regions, automaton.abroad)
    for name in ("after", "code", "length", "home", "codes", "refusals"):
        assert np.array_equal(getattr(read, name), getattr(automaton, name)), name
        assert getattr(read, name).dtype == getattr(automaton, name).dtype, name


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut off"),
        pytest.param(_flipped, id="a bit is another"),
        pytest.param(lambda _: b"numbers\n" * 100, id="something else"),
    ],
)
def test_a_damaged_file_is_built_anew(builds: list[str], tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "automaton.npz"
    Shelf(path).walker(50_000)
    sound = path.read_bytes()
    path.write_bytes(damage(sound))

    assert cache.load(path) is None
    assert Shelf(path).walker(50_000) is not None
    assert builds == ["one", "one"]
    assert cache.load(path) is not None


def test_a_second_thread_waits_for_what_the_first_is_reading(
    builds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "automaton.npz"
    Shelf(path).walker(50_000)
    shelf, reading, other_asks = Shelf(path), Event(), Event()

    def slow(where: Path) -> Automaton | None:
        reading.set()
        assert not other_asks.wait(0.2)  # it cannot get as far while this one reads
        return cache.load(where)

    monkeypatch.setattr("broadcaster.phones.shelf.load", slow)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(shelf.walker, 50_000)
        assert reading.wait(10)
        second = threads.submit(shelf.walker, 50_000)
        second.add_done_callback(lambda _: other_asks.set())

    assert first.result() is second.result() is not None
    assert builds == ["one"]


def test_arrays_that_do_not_fit_their_checksum_are_not_believed(automaton: Automaton, tmp_path: Path) -> None:
    path = tmp_path / "automaton.npz"
    assert cache.save(automaton, path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["code"][arrays["code"] == 1] = 44
    np.savez_compressed(path, allow_pickle=False, **arrays)

    assert cache.load(path) is None


def test_an_automaton_of_another_version_is_not_believed(
    automaton: Automaton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "automaton.npz"
    assert cache.save(automaton, path)
    mine = cache.cache_path()
    monkeypatch.setattr(phonenumbers, "__version__", "0.0.1")

    assert cache.cache_path() != mine
    assert cache.load(path) is None


def test_a_cache_that_cannot_be_written_is_done_without(builds: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    path = tmp_path / "file" / "automaton.npz"

    assert Shelf(path).walker(50_000) is not None
    assert Shelf(path).walker(50_000) is not None
    assert builds == ["one", "one"]


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(automaton: Automaton, tmp_path: Path) -> None:
    path = tmp_path / "automaton.npz"
    path.mkdir()

    assert not cache.save(automaton, path)
    assert list(tmp_path.iterdir()) == [path]


def _nodes(pattern: str) -> Any:
    raise ImportError(pattern)


def _lookahead(metadata: Any) -> None:
    metadata.fixed_line = PhoneNumberDesc(national_number_pattern=r"(?=4)\d{10}")


def _boundless(metadata: Any) -> None:
    metadata.fixed_line = PhoneNumberDesc(national_number_pattern=r"4\d+")


def _nameless(metadata: Any) -> None:
    metadata.general_desc = None


def _foreign(metadata: Any) -> None:
    metadata.country_code = 44


@pytest.mark.parametrize("change", [_lookahead, _boundless, _nameless, _foreign])
def test_metadata_that_surprise_leave_the_judge_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    whole = PhoneMetadata.metadata_for_region_or_calling_code

    class Strange:
        """The metadata of the first calling code, changed."""

        def __init__(self, metadata: Any) -> None:
            self.__dict__ = {name: getattr(metadata, name) for name in vars(metadata) if not name.startswith("__")}
            change(self)

    shelf = Shelf(tmp_path / "automaton.npz")
    monkeypatch.setattr("broadcaster.phones.current_shelf", lambda: shelf)
    with monkeypatch.context() as strange:
        strange.setattr(
            PhoneMetadata, "metadata_for_region_or_calling_code", lambda code, region: Strange(whole(code, region))
        )
        with pytest.raises(Surprise):
            automata.build()
        assert shelf.walker(20_000) is None
    numbers = normalise(pa.array(["+14155550100", "Ada"] * 10_000), None)

    assert repr(shelf) == "<Shelf none to be had, 40000 rows>"
    assert numbers.e164.tolist() == [US, 0] * 10_000
    assert numbers.fault.tolist() == [0, Kind.LETTERS] * 10_000
    assert not list(tmp_path.iterdir())


def test_an_interpreter_without_the_private_parser_leaves_the_judge_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "import_module", _nodes)
    shelf = Shelf(tmp_path / "automaton.npz")

    assert shelf.walker(50_000) is None
    assert shelf.walker(50_000) is None


def test_an_automaton_that_contradicts_the_judge_is_not_used(
    automaton: Automaton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = automaton.after.copy()
    after[:, 7] = after[:, 8]
    wrong = Automaton(
        after=after,
        code=automaton.code,
        length=automaton.length,
        regions=automaton.regions,
        home=automaton.home,
        abroad=automaton.abroad,
        codes=automaton.codes,
        refusals=automaton.refusals,
    )
    monkeypatch.setattr("broadcaster.phones.shelf.build", lambda: wrong)
    path = tmp_path / "automaton.npz"

    assert agrees(Walker(automaton))
    assert not agrees(Walker(wrong))
    assert Shelf(path).walker(50_000) is None
    assert not path.exists()


# Patterns


@pytest.mark.parametrize(
    ("pattern", "matches", "fails"),
    [
        (r"[2-9]\d{3}|1[05]", ["2000", "10", "15"], ["100", "12", "20000", ""]),
        (r"(?:1|23)?4(5{2,3})", ["455", "14555", "23455"], ["45", "45555", "2455"]),
        (r"0(?:[13]\d|2)0", ["0100", "020", "0390"], ["0200", "000", "01"]),
    ],
)
def test_positions_read_what_the_pattern_reads(pattern: str, matches: list[str], fails: list[str]) -> None:
    machine = patterns.Machine()
    part = machine.add(pattern)

    def reads(digits: str) -> bool:
        after, here = part.first, 0
        for digit in digits:
            here = after & machine.reads[int(digit)]
            after = machine.after(here)
        return bool(here & part.last)

    assert [reads(digits) for digits in matches] == [True] * len(matches)
    assert [reads(digits) for digits in fails] == [False] * len(fails)
    assert all(re.fullmatch(pattern, digits) for digits in matches)
    assert not any(re.fullmatch(pattern, digits) for digits in fails)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("0|90", {("0", True), ("90", True)}),
        (r"0(?:1[12])?", {("0", True), ("011", True), ("012", True)}),
        (r"8\d{6}", {(f"8{digit}", False) for digit in range(10)}),
        (r"1(?:2|34)5?", {("12", True), ("134", True), ("125", True), ("1345", True)}),
    ],
)
def test_a_prefix_begins_with_these_digits(pattern: str, found: set[tuple[str, bool]]) -> None:
    assert patterns.beginnings(patterns.parsed(pattern), at_most=20) == found


@pytest.mark.parametrize("pattern", [r"\d*", "a", r"(?=1)1", "[^1]", r"\b1", "1+", "(", r"(1)\1", "(?i:1)", ""])
def test_other_patterns_are_a_surprise(pattern: str) -> None:
    with pytest.raises(Surprise):
        patterns.Machine().add(pattern)
