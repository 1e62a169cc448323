"""How soon the page and the address answer, and how they bear many at once.

    python benchmarks/serving.py sample
    python benchmarks/serving.py ../shared/isic2018/train-native --seconds 120 --clients 8

The folder has archives laid out as in `sample/`; its photographs are sent in turn to a server that
is started for it (tools/app.py), over the loopback interface. Of the answers' times, milliseconds:

page       one photograph after the other, from its drop on the page to its outline there, in
           Chromium without a window, if there is one
alone      one client, one photograph after the other: POST /v1/segment, JSON
network    of that the forward pass alone, in this process
together   as many clients as --clients at once, for --seconds, half of them asking for masks

and whether each was answered, and the server's memory at the load's start and end.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles

import psutil
import requests
from measure import machine, table, training_pairs, users_environment

TOOL = Path(__file__).resolve().parents[1] / "tools/app.py"
PACKAGES = ("torch", "simplejpeg", "opencv-python-headless", "fastapi", "uvicorn")
DROPPED = """
const [content, done] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], 'photograph.jpg'));
const count = document.querySelectorAll('#thumbnails li').length;
const start = performance.now();
document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
const look = () => {
  const button = document.querySelectorAll('#thumbnails button')[count];
  if (!button?.dataset.state?.startsWith('done')) requestAnimationFrame(look);
  else requestAnimationFrame(() => done(performance.now() - start));
};
look();
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="archives of a training split, as in sample/")
    parser.add_argument("--model", type=Path, default=Path("model"), help="weights and settings")
    parser.add_argument("--images", type=int, default=50, help="photographs, each sent alone")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    contents = [image() for image, _ in islice(training_pairs(given.folder), given.images)]
    contents = list(islice(cycle(contents), given.images))
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        network = other.submit(passes, contents, given.model.resolve()).result()
    with server(given.model.resolve()) as (where, process):
        segment(where, contents[0], "application/json")
        found = {
            "page": on_page(where, contents),
            "alone": [segment(where, content, "application/json") for content in contents],
            "network": network,
        }
        before = process.memory_info().rss
        found["together"] = together(where, contents, given.clients, given.seconds)
        after = process.memory_info().rss
    megabytes = sum(map(len, contents)) / len(contents) / 1e6
    print(f"{machine(PACKAGES)}\n\n{len(contents)} photographs of {megabytes:.2f} MB in the mean")
    print(f"load at the end {os.getloadavg()[0]:.1f}\n")
    print(table([row(what, times) for what, times in found.items() if times]))
    served = len(found["together"])
    print(
        f"\n{given.clients} clients for {given.seconds:g} s: {served} answers, "
        f"{served / given.seconds:.1f} a second, none failed; memory {before / 1e6:.0f} MB at the "
        f"start, {after / 1e6:.0f} MB at the end"
    )


def row(what: str, times: list[float]) -> dict[str, str]:
    """Milliseconds of seconds."""
    marks = quantiles([1000 * seconds for seconds in times], n=100, method="inclusive")
    numbers = {"median": marks[49], "95 %": marks[94], "99 %": marks[98], "most": 1000 * max(times)}
    return {"": what, **{name: f"{value:.0f}" for name, value in numbers.items()}}


@contextmanager
def server(model: Path) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, str(TOOL), "--no-browser", "--port", "0", "--model", str(model)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, encoding="utf-8", env=users_environment()
    )
    try:
        assert process.stdout
        yield process.stdout.readline().split()[0].rstrip("/"), psutil.Process(process.pid)
        assert process.poll() is None, "the server has ended"
    finally:
        process.terminate()
        process.wait(30)


def segment(where: str, content: bytes, accept: str, post: Callable = requests.post) -> float:
    """Seconds till a photograph is answered; ends the benchmark where it is not."""
    start = time.perf_counter()
    answer = post(f"{where}/v1/segment", content, headers={"Accept": accept}, timeout=60)
    seconds = time.perf_counter() - start
    answer.raise_for_status()
    assert answer.headers["content-type"] == accept and answer.content
    return seconds


def together(where: str, contents: list[bytes], clients: int, seconds: float) -> list[float]:
    end = time.monotonic() + seconds

    def client(number: int) -> list[float]:
        kind = ("application/json", "image/png")[number % 2]
        times = []
        with requests.Session() as session:
            for content in islice(cycle(contents), number, None):
                if time.monotonic() > end:
                    return times
                times.append(segment(where, content, kind, session.post))
        return times

    with ThreadPoolExecutor(clients) as pool:
        return [each for times in pool.map(client, range(clients)) for each in times]


def passes(contents: list[bytes], model: Path) -> list[float]:
    """Seconds of a forward pass for each photograph alone."""
    import numpy as np

    from lesion.network.predict import probability_maps
    from lesion.photos.square import to_square
    from lesion.prediction.segmenter import Segmenter

    segmenter = Segmenter.of_folder(model)
    header, tta = segmenter.header, [segmenter.settings.tta]
    times = []
    for content in [contents[0], *contents]:  # the first pass takes longer
        square = to_square(content, header.resize, header.image_size).pixels
        start = time.perf_counter()
        list(probability_maps(segmenter.predictor, np.stack([square]), segmenter.device, tta, 1))
        times.append(time.perf_counter() - start)
    return times[1:]


def on_page(where: str, contents: list[bytes]) -> list[float]:
    """Seconds from each drop to the outline; none where there is no browser."""
    import base64

    if not shutil.which("chromedriver"):
        return []
    from browser import chromium

    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as driver:
        driver.get(where)
        driver.set_script_timeout(60)
        while not driver.find_elements("css selector", "#samples img"):
            time.sleep(0.1)
        texts = [base64.b64encode(content).decode() for content in contents]
        driver.execute_async_script(DROPPED, texts[0])  # once started
        return [driver.execute_async_script(DROPPED, text) / 1000 for text in texts]


if __name__ == "__main__":
    main()
