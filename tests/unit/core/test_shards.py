import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.shards import Shard, cut_shards, first_child, shard_of_child


@given(batches=st.integers(0, 5000), of=st.integers(1, 400))
def test_shards_have_every_batch_once_in_order_and_as_many_as_each_other(batches: int, of: int) -> None:
    shards = cut_shards(batches, of=of)

    assert [number for shard in shards for number in range(shard.first, shard.stop)] == list(range(batches))
    assert len({len(shard) for shard in shards}) <= 2
    assert max((len(shard) for shard in shards), default=0) - min((len(shard) for shard in shards), default=0) <= 1
    assert [shard.index for shard in shards] == list(range(min(of, batches)))
    assert {shard.of for shard in shards} <= {of}


def test_a_plan_is_cut_like_this() -> None:
    assert cut_shards(7, of=3) == (
        Shard(index=0, of=3, first=0, stop=3),
        Shard(index=1, of=3, first=3, stop=5),
        Shard(index=2, of=3, first=5, stop=7),
    )


@pytest.mark.parametrize(("batches", "of"), [(5, 0), (5, -1), (-1, 2)])
def test_what_cannot_be_cut_is_refused(batches: int, of: int) -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        cut_shards(batches, of=of)


@given(index=st.integers(0, 100_000), born=st.integers(0, (1 << 20) - 1))
def test_no_two_shards_give_a_part_the_same_number(index: int, born: int) -> None:
    assert shard_of_child(first_child(index) - born) == index
    assert first_child(0) == -1
