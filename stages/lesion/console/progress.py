"""How far long work has come: a bar where somebody watches, a line now and then in a log."""

import sys
import threading

from tqdm import tqdm

QUIET = 30.0  # seconds between two lines of a log


class Progress(tqdm):
    """tqdm, which in a log writes whole lines instead of redrawing one."""

    def __init__(
        self, what: str, total: int, unit: str, done: int = 0, silent: bool = False
    ) -> None:
        """`total` units, of which `done` were there before; unit "B" is shown as MB and GB."""
        self.watched = sys.stderr.isatty()
        self._counting = threading.Lock()
        super().__init__(
            desc=what,
            total=total,
            initial=done,
            unit=unit if unit == "B" else f" {unit}",
            unit_scale=unit == "B",
            dynamic_ncols=True,
            mininterval=0.1 if self.watched else QUIET,
            bar_format=None
            if self.watched
            else "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left\n",
            delay=0 if self.watched else QUIET,
            disable=silent,
        )

    def update(self, n: float = 1) -> None:
        """Counts `n` units more; threads may share a bar."""
        with self._counting:
            super().update(n)

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if self.watched:
            self.write(line)
        else:
            print(line, flush=True)
