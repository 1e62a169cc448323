"""Writes the synthetic sample: `PYTHONPATH=stages python -m lesion.synthetic sample`."""

import argparse
from pathlib import Path

from lesion.synthetic.archives import SPLITS, write_archives

DEFAULT_COUNTS = {"train": 160, "validation": 40, "test": 40}


def main() -> None:
    """Writes the archives that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m lesion.synthetic",
        description="Write synthetic dermoscopy images and lesion masks as ISIC 2018 archives.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the archives go")
    for split, count in DEFAULT_COUNTS.items():
        text = f"number of {split} images, 0 for no such archives"
        parser.add_argument(f"--{split}", type=int, default=count, metavar="N", help=text)
    size_help = "longer side of every image in pixels"
    parser.add_argument("--size", type=int, default=256, metavar="PX", help=size_help)
    parser.add_argument("--seed", type=int, default=2018, help="seed of all randomness")
    prefix_help = "what the archives' names begin with; not as real ones do, lest they be mistaken"
    parser.add_argument("--prefix", default="Synthetic", help=prefix_help)
    options = parser.parse_args()
    counts = {split: getattr(options, split) for split in SPLITS}
    try:
        write_archives(options.folder, counts, options.size, options.seed, options.prefix)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
