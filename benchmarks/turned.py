"""What a quarter turn cuts off the lesion in stretched photographs, and what variation costs.

    python benchmarks/turned.py ../shared/isic2018/train-native

cut off   share of the lesion that lies outside the frame after a quarter turn, at the same size
ms        processor time in which a batch is varied, its drawing included, on one thread; all kinds
          of photographs in turn, the median over the rounds with the least and the greatest
"""

import argparse
import time
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from measure import machine, spread, table

from lesion.photos.archives import ArchiveReader, find_archives, find_pairs
from lesion.photos.masks import open_mask
from lesion.photos.placement import place
from lesion.pipeline.parallel import in_order
from lesion.training.augment import Augmentation
from lesion.training.frames import Frames

BATCH, SIDE = 16, 192  # as in the preset `laptop`
STRENGTHS = {"orientations": True, "geometry": 0.5, "colour": 0.5, "hairs": 0.1}
KINDS = {"square": ("stretch", 768, 768), "stretch, 4:3": ("stretch", 768, 1024)}
KINDS |= {"letterbox, 4:3": ("letterbox", 768, 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the archives lie")
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    pairs = find_pairs(find_archives(given.folder))
    with ArchiveReader(given.folder) as archives:
        masks = (archives.read(pair.mask_archive, pair.mask) for pair in pairs)
        shares = list(in_order(cut_off, masks))
    print(f"cut off, of {len(shares)}: {mean(shares):.1%} in the mean, {max(shares):.1%} at most\n")
    print(f"{machine(['torch'])}\n\nbatches of {BATCH}, {SIDE} pixels\n")
    times = costs(given.rounds)
    print(table([{"photographs": kind, "ms": spread(ms, 1)} for kind, ms in times.items()]))


def cut_off(mask_file: bytes) -> float:
    truth = np.asarray(open_mask(mask_file).image) > 127
    shorter, longer = sorted(truth.shape)
    start = (longer - shorter) // 2  # of what is as long as the frame is the other way
    rows = slice(start, start + shorter)
    kept = truth[rows] if truth.shape[0] == longer else truth[:, rows]
    return 1 - kept.sum() / truth.sum()


def costs(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round, by kind of photograph."""
    torch.set_num_threads(1)
    images = torch.rand(BATCH, SIDE, SIDE, 3).permute(0, 3, 1, 2)
    masks = (torch.rand(BATCH, 1, SIDE, SIDE) > 0.5).float()
    result: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds + 1):
        for kind, (policy, height, width) in KINDS.items():
            columns = place(policy, height, width, SIDE).columns()
            frames = Frames.of({name: [value] * BATCH for name, value in columns.items()}, SIDE)
            made = Augmentation(**STRENGTHS, bars=frames.have_bars)
            generator = torch.Generator().manual_seed(number)
            made(images, masks, made.draw(BATCH, generator, frames))  # its hairs are drawn once
            start = time.thread_time()
            made(images, masks, made.draw(BATCH, generator, frames))
            result[kind].append(1000 * (time.thread_time() - start))
    return result


if __name__ == "__main__":
    main()
