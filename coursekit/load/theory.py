"""What arithmetic alone tells of a server: upper bounds, before anything is measured."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def amdahl(share: float, workers: float) -> float:
    """Return how many times faster `workers` are than one, if `share` (0 to 1) is spread over them.

    Amdahl 1967: what is not spread takes as long as before. With the GIL, all of a request's Python
    is such a rest for the threads of one process. Raise ValueError for a share outside 0 to 1.
    """
    if not 0 <= share <= 1 or workers <= 0:
        raise ValueError(f"a share is between 0 and 1, not {share}; workers are above 0")
    return 1 / ((1 - share) + share / workers)


def utilisation(rate: float, service: float, servers: int) -> float:
    """Return the share of time that `servers` are busy: above 1 the queue grows without end.

    `rate` requests arrive a second, each takes one of them for `service` seconds (Little's law:
    rate * service are inside at once, on average).
    """
    return rate * service / servers


def waiting(rate: float, service: float, servers: int) -> float:
    """Return the mean wait in the queue in seconds, by Erlang's formula C (M/M/c); inf if it grows.

    Arrivals and service times are taken to be random (Poisson, exponential), which is kinder than
    a traffic in bursts.
    """
    busy = utilisation(rate, service, servers)
    if busy >= 1:
        return float("inf")
    offered = rate * service
    blocked = 1.0  # Erlang B, by its recursion
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    queued = blocked / (1 - busy * (1 - blocked))  # Erlang C
    return queued * service / (servers * (1 - busy))


def makespan(times: Sequence[float], lanes: int) -> float:
    """Return when the last of some tasks ends, if each goes to the lane that is free first."""
    free = [0.0] * lanes
    for time in times:
        heapq.heapreplace(free, free[0] + time)
    return max(free)
