"""The trained model in a browser, and at an address: a page on this machine.

    python tools/app.py                    # opens http://127.0.0.1:8000/; `make app` does the same
    python tools/app.py --no-browser --port 8001
    python tools/app.py --host 0.0.0.0     # also for other machines and phones in this network

Photographs are held in memory while they are worked on, and stored nowhere. Not a medical device:
nothing here may be used for diagnosis or treatment. What programs can ask: docs/app.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from lesion.console.cli import in_project, parser
from lesion.prediction.segmenter import FOLDER, Segmenter
from lesion.serving.application import application
from lesion.serving.server import Server, address, bound, open_when_answering


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, default=FOLDER, help="its folder (%(default)s)")
    arguments.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    arguments.add_argument("--port", type=port, default=8000, help="0: any (%(default)s)")
    arguments.add_argument("--no-browser", action="store_true", help="opens none")
    arguments.add_argument(
        "--name", action="append", default=[], help="another name by which the machine is asked for"
    )
    given = arguments.parse_args()
    model = given.model.absolute()  # of where it was called
    with in_project():
        listening = bound(given.host, given.port)
        app = application(Segmenter.of_folder(model), names=given.name)
        server = Server(app, listening)
        print(f"{address(listening)}  (Ctrl-C ends it)", flush=True)
        if not given.no_browser:
            open_when_answering(server, address(listening))
        server.run()


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError
    return number


if __name__ == "__main__":
    main()
