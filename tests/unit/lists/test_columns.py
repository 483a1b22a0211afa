"""Which column is what: said by the job, or by one word that means it."""

import pytest

from broadcaster.errors import JobInvalid, ListUnusable
from broadcaster.lists.columns import Columns, choose, find_numbers_column


def chosen(columns: list[str], *, needed: tuple[str, ...] = (), **named: str) -> Columns:
    keys: dict[str, str | None] = {"phone": None, "id": None, "region": None, "opt_out": None}
    keys |= named
    return choose(
        columns,
        phone=keys["phone"],
        id=keys["id"],
        region=keys["region"],
        opt_out=keys["opt_out"],
        needed=needed,
        list_name="list.csv",
    )


@pytest.mark.parametrize(
    "header",
    [
        "phone",
        "Phone Number",
        "PHONENUMBER",
        "mobile",
        "Mobile-Number",
        "cell",
        "msisdn",
        "Telephone",
        "tel",
        "To",
        "WhatsApp",
    ],
)
def test_a_column_whose_name_means_numbers_is_found(header: str) -> None:
    found = chosen(["id", "name", header, "hotel", "total", "microphone", "phone_type"])

    assert found.phone == header
    assert found.chosen == f"phone: column {header!r} (found by its name)"


def test_what_the_job_says_goes_before_what_is_well_known() -> None:
    found = chosen(["phone", "mobile", "nr", "land", "stop"], phone="mobile", id="nr", region="land", opt_out="stop")

    assert (found.phone, found.id, found.region, found.opt_out) == ("mobile", "nr", "land", "stop")
    assert found.chosen == (
        "phone: column 'mobile' (named by the job); id: column 'nr' (named by the job); "
        "region: column 'land' (named by the job); opt_out: column 'stop' (named by the job)"
    )


def test_two_columns_that_could_be_it_are_a_question() -> None:
    with pytest.raises(ListUnusable, match=r"'phone', 'Mobile' could each hold the phone numbers.*recipients.phone"):
        chosen(["phone", "name", "Mobile"])


def test_without_a_word_that_means_numbers_the_columns_are_listed() -> None:
    with pytest.raises(ListUnusable, match=r"list.csv: no column is known .*recipients.phone.*'total', 'hotel'"):
        chosen(["total", "hotel"])


def test_every_column_that_the_job_names_and_the_list_has_not_is_told_with_the_nearest() -> None:
    with pytest.raises(ListUnusable) as refused:
        chosen(["Mobile", "id", "country"], phone="mobile", id="customer", region="contry")

    assert refused.value.sentence.splitlines() == [
        "list.csv has the columns 'Mobile', 'id', 'country'",
        "  recipients.phone: no column 'mobile'; did you mean 'Mobile'?",
        "  recipients.id: no column 'customer'",
        "  recipients.region: no column 'contry'; did you mean 'country'?",
    ]


def test_every_placeholder_without_a_column_is_the_jobs_mistake() -> None:
    with pytest.raises(JobInvalid) as refused:
        chosen(["phone", "first_name"], needed=("first_name", "firstname", "plan", "plan"))

    assert refused.value.sentence.splitlines() == [
        "list.csv has the columns 'phone', 'first_name'",
        "  message.parameters: no column 'firstname'; did you mean 'first_name'?",
        "  message.parameters: no column 'plan'",
    ]


@pytest.mark.parametrize(
    ("columns", "phone", "expected"),
    [
        pytest.param(["input_row", "phone_input", "to", "status", "mobile"], "mobile", "to", id="a manifest"),
        pytest.param(["mobile", "phone"], "mobile", "mobile", id="the job's own name"),
        pytest.param(["since", "Phone"], "mobile", "Phone", id="a well-known name"),
        pytest.param(["who"], "mobile", "who", id="the only column"),
        pytest.param(["who"], None, "who", id="the only column of a job without a name"),
    ],
)
def test_the_numbers_of_a_suppression_list_are_found(columns: list[str], phone: str | None, expected: str) -> None:
    assert find_numbers_column(columns, phone=phone) == expected


@pytest.mark.parametrize("columns", [["who", "since"], ["phone", "mobile"]])
def test_a_suppression_list_whose_numbers_are_unclear_is_refused(columns: list[str]) -> None:
    with pytest.raises(ListUnusable, match="the list: "):
        find_numbers_column(columns, phone="tel")
