"""What rounds of noisy sums add up to, as (epsilon, delta).

A round that satisfies rho-zCDP has Rényi divergences of at most alpha·rho at every order alpha > 1
(Bun and Steinke 2016, Concentrated Differential Privacy, definition 1.1). They add up over rounds,
also when a round depends on the ones before (lemma 2.3), and become (epsilon, delta) by proposition
12 of Canonne, Kamath and Steinke 2020. `dp_accounting` does the conversion; it is not imported
before it is needed, because it takes two seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np

# The best order grows like sqrt(log(1/delta) / rho). With this many orders epsilon is the best
# one's to within a few millionths.
_ORDERS = tuple((1.0 + np.geomspace(0.02, 1e6, 4000)).tolist())
_SMALLEST_RHO, _LARGEST_RHO = 1e-12, 1e4


def epsilon_of(rhos: Iterable[float], delta: float) -> float:
    """The epsilon at ``delta`` of everything that spent ``rhos`` (zCDP)."""
    from dp_accounting import ZCDpEvent
    from dp_accounting.rdp import RdpAccountant

    total = math.fsum(rhos)
    if total == 0:
        return 0.0
    return float(RdpAccountant(_ORDERS).compose(ZCDpEvent(total)).get_epsilon(delta))


@cache
def rho_of(epsilon: float, delta: float) -> float:
    """The largest total rho whose epsilon at ``delta`` is at most ``epsilon``."""
    low, high = math.log(_SMALLEST_RHO), math.log(_LARGEST_RHO)
    for _ in range(60):
        middle = (low + high) / 2
        if epsilon_of([math.exp(middle)], delta) <= epsilon:
            low = middle
        else:
            high = middle
    return math.exp(low)


__all__ = ["epsilon_of", "rho_of"]
