"""The symbols of the made-up exchange."""

from dataclasses import dataclass, replace

from ingestion.binance.simulator.rows import Spec
from markets.types import to_scaled

# 2024-01-01 UTC. Fixed, because ids are counted from here: another day would be another market.
LISTED_AT = 1_704_067_200_000


@dataclass(frozen=True, slots=True)
class Listing:
    """How a symbol trades.

    ``price``: around where it walks; ``rate``: aggregate trades per 1000 minutes; ``quantity``: a
    usual one, in steps; ``wobble``: ticks by which trades stray from the walk; ``grain``: the walk
    moves by whole multiples of so many ticks a minute, in as many stairs.
    """

    spec: Spec
    price: int
    rate: int
    quantity: int
    wobble: int
    grain: int


def _listing(pair: str, steps: str, price: str, rate: int, quantity: str, shape: str) -> Listing:
    base, quote = pair.split("/")
    tick, step = (to_scaled(text) for text in steps.split())
    wobble, grain = (int(text) for text in shape.split())
    return Listing(
        spec=Spec(base + quote, base, quote, tick, step),
        price=to_scaled(price),
        rate=rate,
        quantity=to_scaled(quantity) // step,
        wobble=wobble,
        grain=grain,
    )


# BTC, ETH and SOL together: four trades a second on average. ETHBTC and XMRBTC: quote amounts that
# need cutting down. PEPE: quantities of 1e10 with eight decimals. XMRBTC: silent for many minutes. The USDC
# pairs: what a new installation keeps klines of.
LISTINGS = (
    _listing("BTC/USDT", "0.01 0.00001", "96000", 120_000, "0.012", "900 8"),
    _listing("ETH/USDT", "0.01 0.0001", "3400", 72_000, "0.3", "60 8"),
    _listing("SOL/USDT", "0.01 0.001", "190", 48_000, "6", "4 2"),
    _listing("BNB/USDT", "0.01 0.001", "650", 20_000, "0.8", "12 4"),
    _listing("XRP/USDT", "0.0001 0.1", "2.3", 25_000, "400", "6 2"),
    _listing("DOGE/USDT", "0.00001 1", "0.31", 15_000, "3000", "7 2"),
    _listing("ADA/USDT", "0.0001 0.1", "0.85", 10_000, "500", "2 1"),
    _listing("LTC/USDT", "0.01 0.001", "104", 4_000, "2", "3 1"),
    _listing("LINK/USDT", "0.01 0.01", "21", 3_000, "30", "1 1"),
    _listing("DOT/USDT", "0.001 0.01", "6.8", 700, "60", "2 1"),
    _listing("PEPE/USDT", "0.00000001 0.00000001", "0.00001834", 5_000, "1000000000", "1 1"),
    _listing("ETH/BTC", "0.00001 0.0001", "0.0354", 6_000, "0.4", "1 1"),
    _listing("XMR/BTC", "0.000001 0.001", "0.00212", 60, "1.5", "1 1"),
    _listing("BTC/USDC", "0.01 0.00001", "96000", 30_000, "0.008", "900 8"),
    _listing("ETH/USDC", "0.01 0.0001", "3400", 18_000, "0.2", "60 8"),
    _listing("XRP/USDC", "0.0001 0.1", "2.3", 6_000, "300", "6 2"),
    _listing("SOL/USDC", "0.01 0.001", "190", 12_000, "4", "4 2"),
)


def listings(count: int | None = None, pace: float = 1.0) -> list[Listing]:
    """The first ``count`` symbols, which trade ``pace`` times as often as usual.

    Beyond the known ones a symbol is a copy of one of them under a name of its own (``BTC2USDT``), for
    readers that want to see how hundreds of symbols do. Raises ValueError for a count or pace that is no market.
    """
    wanted = len(LISTINGS) if count is None else count
    if wanted < 1 or not 0 < pace <= 1000:
        raise ValueError("a market has at least one symbol, and a pace above 0 up to 1000")
    return [_paced(_copy(*divmod(place, len(LISTINGS))), pace) for place in range(wanted)]


def _copy(copies: int, place: int) -> Listing:
    listing = LISTINGS[place]
    if not copies:
        return listing
    spec = listing.spec
    base = f"{spec.base}{copies + 1}"
    return replace(listing, spec=replace(spec, symbol=base + spec.quote, base=base))


def _paced(listing: Listing, pace: float) -> Listing:
    return listing if pace == 1 else replace(listing, rate=max(1, round(listing.rate * pace)))
