"""The page of peers.py: its tables and its picture.

A result is what peers.py writes of a run: `marks` has the scores by the seconds after which they
were there. Of this project, whose names are `own`, each run has one, its end.
"""

import re
from collections.abc import Collection
from itertools import chain, pairwise
from pathlib import Path

from measure import machine, spread, table

MINUTES = (1, 2, 5, 15, 45)
DICE = (0.80, 0.85, 0.88, 0.89)

Results = dict[str, list[dict]]  # of each learner a result a seed, in the order of the seeds
Curve = list[tuple[float, float]]  # seconds and Dice, in the order of time


def tables(results: Results, own: Collection[str]) -> str:
    """In Markdown."""
    curves = curves_of(results, own)
    versions = {}
    for name, runs in results.items():
        versions |= runs[0]["versions"] if name not in own else {}
    lines = [
        f"{machine(['torch', 'torchvision'])}; "
        + ", ".join(f"{package} {version}" for package, version in versions.items()),
        "",
        table([row_of_scores(name, runs) for name, runs in curves.items()]),
        "",
        table([row_of_rates(name, runs) for name, runs in results.items()]),
    ]
    notes = [f"- {name}: {note}" for name, runs in results.items() for note in runs[0]["notes"]]
    return "\n".join([*lines, *[""] * bool(notes), *notes])


def curves_of(results: Results, own: Collection[str]) -> dict[str, list[Curve]]:
    """Of each learner that was scored a curve a seed.

    This project's has its runs as points, and is there of the seeds that all its lengths have: one
    without the short ones would seem slow to reach a score.
    """
    seeds = zip(*(results[name] for name in own if name in results), strict=False)
    curves = {"this project": [[*chain.from_iterable(map(curve, runs))] for runs in seeds]}
    curves |= {
        name: [curve(run) for run in runs]
        for name, runs in results.items()
        if name not in own and runs[0]["marks"]
    }
    return {name: [sorted(one) for one in found] for name, found in curves.items() if found}


def curve(run: dict) -> Curve:
    return [(float(mark), scores["dice"]) for mark, scores in run["marks"].items()]


def row_of_scores(name: str, curves: list[Curve]) -> dict[str, str]:
    reached = {
        f"to {dice:.2f}, s": [seconds_to(one, dice, name != "this project") for one in curves]
        for dice in DICE
    }
    # A run of this project has come to its end; a peer's that was broken off long before says
    # nothing of what it would have become.
    least = 0 if name == "this project" else 0.75
    scored = {
        f"after {minutes} min": [after(one, minutes, least) for one in curves]
        for minutes in MINUTES
    }
    return (
        {"": name}
        | {title: cell(values, 0) for title, values in reached.items()}
        | {title: cell(values, 4) for title, values in scored.items()}
    )


def seconds_to(points: Curve, dice: float, between: bool) -> float | None:
    """Until the Dice was reached, `between` marks in a straight line; None if it never was."""
    for (before, low), (mark, high) in pairwise([(0.0, 0.0), *points]):
        if high >= dice:
            if between and before:
                return before + (mark - before) * (dice - low) / (high - low)
            return mark
    return None


def after(points: Curve, minutes: float, least: float) -> float | None:
    """The last Dice that was there by then, give or take; None without one of `least` the time."""
    # Weights are kept after the step in which their time came.
    there = [(mark, dice) for mark, dice in points if mark <= 60 * minutes * 1.05]
    return there[-1][1] if there and there[-1][0] > 60 * minutes * least else None


def cell(values: list[float | None], digits: int) -> str:
    """Of the seeds that have a value, and how many those are, where others have none."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "–"
    of_them = f", {len(numbers)} of {len(values)}" if len(numbers) < len(values) else ""
    return spread(numbers, digits) + of_them


def row_of_rates(name: str, runs: list[dict]) -> dict[str, str]:
    def of(key: str, digits: int, scale: float = 1) -> str:
        return cell([run[key] * scale if key in run else None for run in runs], digits)

    slow = runs[0].get("images_per_second", 0) < 1

    return {
        "": name,
        "minutes": of("seconds", 1, 1 / 60),
        "epochs": of("epochs", 2),
        "Dice": cell([max(curve(run))[1] if run["marks"] else None for run in runs], 4),
        "first step, s": of("first_step", 1),
        "training, images/s": of("images_per_second", 2 if slow else 1),
        "peak MB": of("peak_mb", 0),
        "lines": str(runs[0]["lines"]),
    }


def into_page(written: str, page: Path) -> None:
    """Puts the tables between the page's two marks."""
    text = page.read_text(encoding="utf-8")
    block = re.compile(r"(?<=<!-- peers -->\n).*(?=<!-- end of peers -->)", re.DOTALL)
    page.write_text(block.sub(lambda _: f"\n{written}\n\n", text), encoding="utf-8")


def draw(results: Results, own: Collection[str], picture: Path) -> None:
    """Dice by wall clock, a line a run, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    for number, (name, curves) in enumerate(curves_of(results, own).items()):
        ours = name == "this project"
        style = {"marker": "o", "linewidth": 2} if ours else {"marker": "."}
        for points in curves:
            label = name if points is curves[0] else None
            axes.plot(*zip(*points, strict=True), color=f"C{number}", label=label, **style)
    ticks = [30, 60, 120, 300, 900, 2700]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{s} s" if s < 60 else f"{s // 60} min" for s in ticks], minor=False)
    axes.minorticks_off()
    axes.set(ylim=(0.5, 0.93), xlabel="wall clock from the start", ylabel="Dice of the test images")
    axes.set_title("Dice by time, images on disk to weights", loc="left")
    axes.grid(alpha=0.3)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(picture)
