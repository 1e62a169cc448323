"""Writes the synthetic sample: `PYTHONPATH=stages python -m lesion.synthetic sample`."""

import argparse
from pathlib import Path

from lesion.console.cli import in_one_line, parser
from lesion.pipeline.files import naming
from lesion.synthetic.archives import OFFICIAL_NAMES, write_archives

DEFAULT_COUNTS = {"train": 160, "validation": 40, "test": 40}


def main() -> None:
    """Writes the archives that the command line asks for."""
    arguments = parser("Write synthetic dermoscopy images and lesion masks as ISIC 2018 archives.")
    arguments.prog = "python -m lesion.synthetic"
    arguments.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    arguments.add_argument("folder", type=Path, help="where the archives go")
    for split, count in DEFAULT_COUNTS.items():
        text = f"number of {split} images, 0 for no such archives"
        arguments.add_argument(f"--{split}", type=int, default=count, metavar="N", help=text)
    size_help = "longer side of every image in pixels"
    arguments.add_argument("--size", type=int, default=256, metavar="PX", help=size_help)
    arguments.add_argument("--seed", type=int, default=2018, help="seed of all randomness")
    prefix_help = "what the archives' names begin with; not as real ones do, lest they be mistaken"
    arguments.add_argument("--prefix", default="Synthetic", help=prefix_help)
    options = arguments.parse_args()
    counts = {split: getattr(options, split) for split in OFFICIAL_NAMES}
    try:
        with in_one_line("synthetic"), naming(options.folder, options.folder):
            write_archives(options.folder, counts, options.size, options.seed, options.prefix)
    except ValueError as error:
        arguments.error(str(error))


if __name__ == "__main__":
    main()
