"""What the messages cost, as far as receipts carry prices."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.core.words import Status
from broadcaster.phones.origins import countries
from broadcaster.report.figures import Cost, Price
from broadcaster.store.parquet import reading, record_batches
from broadcaster.store.receipts import read_states, receipt_files

_PRICE = r"^[0-9]{1,9}(\.[0-9]+)?$"
_COLUMNS = ["status", "message_id", "to", "channel", "delivery_channel"]
_AT_ONCE = 1 << 20  # rows that are matched with all prices at a time: the table of prices is hashed for each
_FEWEST_PLACES = 2
_MOST_PRICES = 500  # different ones; with more, countries are not told apart


def count_cost(run_dir: Path, manifest: Path) -> Cost | None:
    """Return what the accepted messages of a manifest cost; ``None`` when no receipt carries a price.

    Raises:
        StoreError: a file cannot be read.
    """
    files = receipt_files(run_dir)
    if not files:
        return None
    states = read_states(files)
    states = states.filter(pc.fill_null(pc.match_substring_regex(states["price"], _PRICE), fill_value=False))
    if not states.num_rows:
        return None
    ids, prices = states["message_id"].combine_chunks(), states["price"].dictionary_encode().combine_chunks()
    table = _Costs([Decimal(each) for each in _plain(prices).dictionary.to_pylist()])
    with reading(manifest) as file:
        for batch in record_batches(file, _COLUMNS, rows=_AT_ONCE):
            table.add(batch.filter(pc.equal(batch["status"], str(Status.ACCEPTED))), ids, _plain(prices).indices)
    return table.total() if table.messages else None


class _Costs:
    """Adds up."""

    def __init__(self, prices: list[Decimal]) -> None:
        self._prices = prices
        self._places = max(_FEWEST_PLACES, *(-int(each.normalize().as_tuple().exponent) for each in prices))
        self._channels: Counter[tuple[str, int]] = Counter()  # messages by channel and place of their price
        self._countries: Counter[tuple[str, int]] = Counter()
        self.messages = 0
        self._unpriced = 0

    def add(self, rows: pa.RecordBatch, ids: pa.Array, prices: pa.Array) -> None:
        """Count the accepted *rows*; *prices* are those of the messages *ids*."""
        found = prices.take(pc.index_in(rows["message_id"], value_set=_plain(ids)))
        priced = found.is_valid()
        self._unpriced += found.null_count
        rows, found = rows.filter(priced), found.drop_null().to_numpy()
        self.messages += len(found)
        channels = pc.coalesce(rows["delivery_channel"], rows["channel"])
        pairs = pa.table({"channel": channels, "price": pa.array(found)})
        for each in pairs.group_by(["channel", "price"]).aggregate([([], "count_all")]).to_pylist():
            self._channels[each["channel"], each["price"]] += each["count_all"]
        if len(self._prices) <= _MOST_PRICES:
            numbers = pc.utf8_slice_codeunits(rows["to"], start=1).cast(pa.int64()).to_numpy()
            for price in np.unique(found).tolist():
                for country, count in countries(numbers[found == price]).items():
                    self._countries[country, price] += count

    def total(self) -> Cost:
        """Return the sums."""
        everything: Decimal = sum(
            (self._prices[price] * count for (_, price), count in self._channels.items()), Decimal()
        )
        return Cost(
            total=self._written(everything),
            messages=self.messages,
            unpriced=self._unpriced,
            channels=self._summed(self._channels),
            countries=self._summed(self._countries),
        )

    def _summed(self, counts: Mapping[tuple[str, int], int]) -> tuple[Price, ...]:
        sums: dict[str, Decimal] = {}
        messages: Counter[str] = Counter()
        for (name, price), count in counts.items():
            sums[name] = sums.get(name, Decimal()) + self._prices[price] * count
            messages[name] += count
        dearest = sorted(sums, key=lambda name: (-sums[name], name))
        return tuple(Price(name=name, messages=messages[name], cost=self._written(sums[name])) for name in dearest)

    def _written(self, amount: Decimal) -> str:
        """Return an amount with as many places as the finest price has, at least two."""
        return f"{amount:.{self._places}f}"


def _plain(column: Any) -> Any:
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
