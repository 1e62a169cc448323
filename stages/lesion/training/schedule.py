"""How learning rate and momentum change over a training, as functions of how far it has come.

A schedule takes the share of the steps that are done, in [0, 1), and gives the share of the highest
learning rate and the momentum (AdamW's first beta) of the next step. Without a state of
its own, it is right after any interruption.
"""

import math
from collections.abc import Callable

WARM_UP = 0.25  # share of the steps in which one-cycle climbs
START, END = 1 / 25, 1e-5  # share of the highest rate at the start, and after the last step
MOMENTUM = 0.9
LEAST, MOST = 0.85, 0.95  # momentum of one-cycle, low where the rate is high


def one_cycle(done: float) -> tuple[float, float]:
    """Up along half a cosine and down along another (Smith and Topin, 2018,
    https://arxiv.org/abs/1708.07120)."""
    if done < WARM_UP:
        return _cosine(START, 1, done / WARM_UP), _cosine(MOST, LEAST, done / WARM_UP)
    done = (done - WARM_UP) / (1 - WARM_UP)
    return _cosine(1, END, done), _cosine(LEAST, MOST, done)


def constant(done: float) -> tuple[float, float]:
    """The same all the time."""
    return 1.0, MOMENTUM


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


SCHEDULES: dict[str, Callable[[float], tuple[float, float]]] = {
    "one_cycle": one_cycle,
    "constant": constant,
}
