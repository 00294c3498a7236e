import random

from hypothesis import given
from hypothesis import strategies as st

from ingestion.binance.backoff import ATTEMPT_WINDOW_S, Backoff, Budget, attempt_budget


@given(st.integers(1, 10_000), st.randoms(use_true_random=False))
def test_a_wait_is_spread_over_the_upper_half_of_its_growing_bound(failures, rng):
    policy = Backoff(first_s=0.5, factor=2.0, cap_s=60.0)

    wait_s = policy.delay_s(failures, rng)

    bound = min(60.0, 0.5 * 2.0 ** min(failures - 1, 20))
    assert bound / 2 <= wait_s <= bound


def test_connections_that_fell_together_do_not_come_back_together():
    rng = random.Random(1)

    waits = {Backoff().delay_s(5, rng) for _ in range(50)}

    assert len(waits) == 50


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=200))
def test_no_window_ever_holds_more_than_the_budget(pauses):
    budget, now, spent = Budget(limit=3, window_s=1.0), 0.0, []

    for pause in pauses:
        now += pause
        now += budget.wait_s(now)
        if budget.wait_s(now) == 0.0:
            budget.spend(now)
            spent.append(now)

    # A hair below the window: sums of floats.
    assert all(later - first >= 0.999_999 for first, later in zip(spent, spent[3:], strict=False))


def test_the_attempts_to_connect_stay_below_the_ban_of_the_exchange():
    budget = attempt_budget()
    made = 0
    while budget.wait_s(0.0) == 0.0:
        budget.spend(0.0)
        made += 1

    assert made < 300
    assert budget.wait_s(0.0) == ATTEMPT_WINDOW_S
