"""One trade as the simulated exchange keeps it, and the fills it is made of."""

from dataclasses import dataclass
from typing import NamedTuple

from markets.types import SCALE


class Row(NamedTuple):
    """One aggregate trade. Amounts scaled by 10**8, times in epoch milliseconds."""

    trade_id: int
    price: int
    qty: int
    first_id: int
    last_id: int
    trade_time: int
    event_time: int
    is_buyer_maker: bool


@dataclass(frozen=True, slots=True)
class Spec:
    """What the exchange says about a symbol; ``tick`` and ``step`` scaled by 10**8."""

    symbol: str
    base: str
    quote: str
    tick: int
    step: int

    @property
    def is_exact(self) -> bool:
        """True when price x quantity never needs more than eight decimals."""
        return self.tick * self.step % SCALE == 0


def fill_quantities(row: Row, step: int) -> list[int]:
    """The quantities of the row's fills: whole steps, the rest in the last one."""
    fills = row.last_id - row.first_id + 1
    if fills <= 1:
        return [row.qty]
    each = row.qty // step // fills * step
    return [each] * (fills - 1) + [row.qty - each * (fills - 1)]


def quote_of(row: Row, spec: Spec) -> int:
    """The row's quote amount as the exchange counts it: every fill cut down to eight decimals."""
    if row.first_id == row.last_id or spec.is_exact:
        return row.price * row.qty // SCALE
    return sum(row.price * qty // SCALE for qty in fill_quantities(row, spec.step))
