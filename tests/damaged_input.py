"""What each kind of damaged input gets: `python tests/damaged_input.py` prints it as a page.

Every kind is a small data set with one fault, put through the real stages download and preprocess.
"""

import io
import os
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

import cv2
import numpy as np
import pandas as pd
from PIL import ExifTags, Image

import download
import preprocess
from lesion.console import cli
from lesion.photos.archives import LARGEST
from lesion.photos.images import encode_mask
from lesion.synthetic import lesion_image
from project import ROOT, set_params, without_utf8_flag

STAGES = {"download": download.main, "preprocess": preprocess.main}
IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
IDS = ("ISIC_0000001", "ISIC_0000002", "ISIC_0000003")  # of the training pairs
VICTIM = IDS[1]
IMAGE, MASK = f"{IMAGES}/{VICTIM}.jpg", f"{MASKS}/{VICTIM}_segmentation.png"
HEIGHT, WIDTH = 36, 48

# What may become of a data set with a fault.
STOPS = "stops"  # a stage ends with one line and exit status 1
REJECTED = "rejected"  # the pair is listed with the reason; max_rejected says how many may be
NOTED = "noted"  # the pair is used, what is unusual about it is counted and listed
USED = "used"  # the pair is used, and nothing of it is lost
CRASHES = "crashes"  # must not be


@cache
def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return lesion_image(seed, HEIGHT, WIDTH)


def encoded(array: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def mode(name: str, kind: str = "PNG") -> bytes:
    """The victim's picture in another colour mode."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(2)[0]).convert(name).save(buffer, kind)
    return buffer.getvalue()


@dataclass
class Data:
    """A data set before it is written: content by member of the training archives, and in `folder`
    the archives of the other splits."""

    folder: Path
    images: dict[str, bytes] = field(default_factory=dict)
    masks: dict[str, bytes] = field(default_factory=dict)

    @property
    def image(self) -> bytes:
        return self.images[IMAGE]

    @image.setter
    def image(self, content: bytes) -> None:
        self.images[IMAGE] = content

    @property
    def mask(self) -> bytes:
        return self.masks[MASK]

    @mask.setter
    def mask(self, content: bytes) -> None:
        self.masks[MASK] = content

    @property
    def image_archive(self) -> Path:
        return self.folder / f"{IMAGES}.zip"

    @property
    def mask_archive(self) -> Path:
        return self.folder / f"{MASKS}.zip"

    def write(self) -> None:
        write_zip(self.image_archive, self.images)
        write_zip(self.mask_archive, self.masks)


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


@cache
def whole_pairs() -> list[tuple[bytes, bytes]]:
    """Image and mask of five pairs."""
    pairs = [drawn(seed) for seed in range(5)]
    return [(encoded(image, "JPEG", quality=90), encode_mask(mask)) for image, mask in pairs]


def whole_data(folder: Path) -> Data:
    """Three training pairs, the second to be damaged, and one each for validation and test."""
    pairs = whole_pairs()
    for i, split in ((3, "Validation"), (4, "Test")):
        image, mask = pairs[i]
        write_zip(folder / f"X_{split}_Input.zip", {f"ISIC_000000{i + 1}.jpg": image})
        masks = {f"ISIC_000000{i + 1}_segmentation.png": mask}
        write_zip(folder / f"X_{split}_GroundTruth.zip", masks)
    data = Data(folder)
    for name, (image, mask) in zip(IDS, pairs, strict=False):
        data.images[f"{IMAGES}/{name}.jpg"] = image
        data.masks[f"{MASKS}/{name}_segmentation.png"] = mask
    return data


Damage = Callable[[Data], None]


@dataclass(frozen=True)
class Kind:
    """A kind of damage: what is done, the stage that meets it, what must become of it, words that
    must be said, and the id of the pair that it is done to."""

    name: str
    damage: Damage
    written: bool  # whether the damage is done to archives that are written
    stage: str
    outcome: str
    words: tuple[str, ...]
    victim: str = VICTIM


KINDS: list[Kind] = []


def kind(
    name: str,
    outcome: str,
    *words: str,
    stage: str = "preprocess",
    written: bool = False,
    victim: str = VICTIM,
) -> Callable[[Damage], Damage]:
    def add(damage: Damage) -> Damage:
        KINDS.append(Kind(name, damage, written, stage, outcome, words, victim))
        return damage

    return add


@dataclass(frozen=True)
class Result:
    """What became of a data set: the stage that said so, the outcome, and what was said.

    `kept` are the ids in the arrays, `rejected` those listed as rejected, `errors` what the stages
    wrote to stderr besides the line they stop with, `left` what a stage that stops left behind.
    """

    stage: str
    outcome: str
    text: str
    kept: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    errors: str = ""
    left: tuple[str, ...] = ()


@cache
def result_of(kind: Kind) -> Result:
    """Runs the stages on a data set with that damage."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "data").mkdir()
        for file in ("params.yaml", "datasets.yaml", "exclude.csv"):
            shutil.copy(ROOT / file, folder)
        set_params(folder, data="data", source="data", limit=0, image_size=16, max_rejected=0.5)
        data = whole_data(folder / "data")
        if not kind.written:
            kind.damage(data)
        data.write()
        if kind.written:
            kind.damage(data)
        return _run(folder)


def _run(folder: Path) -> Result:
    errors, said = io.StringIO(), {}
    for stage, main in STAGES.items():
        output = io.StringIO()
        before = _files(folder)
        try:
            with (
                chdir(folder),
                patch.object(cli, "PROJECT", folder),
                patch.object(sys, "argv", [f"stages/{stage}.py"]),
                redirect_stdout(output),
                redirect_stderr(errors),
            ):
                cli.run(main)
        except SystemExit as stop:
            left = tuple(sorted(_files(folder) - before))
            return Result(
                stage, STOPS, _short(str(stop.code), folder), errors=errors.getvalue(), left=left
            )
        except Exception as error:
            text = _short(f"{type(error).__name__}: {error}", folder)
            return Result(stage, CRASHES, text, errors=errors.getvalue())
        said[stage] = output.getvalue().splitlines()
    rejected = _table(folder / "arrays/rejected.csv")
    kept = tuple(_table(folder / "arrays/index.csv")["id"])
    table = _table(folder / "metrics/data.csv").set_index("id")
    stage = "download" if len(said["download"]) > 1 else "preprocess"
    first, *notes = said[stage]
    if len(rejected):
        (row,) = rejected.itertuples()
        outcome, text = REJECTED, f"{row.id}: {row.reason}"
    elif notes:
        outcome, text = NOTED, "; ".join(notes)
        assert stage == "download" or (table["notes"] != "").any()
    else:
        outcome, text = USED, first
    return Result(stage, outcome, text, kept, tuple(rejected["id"]), errors.getvalue())


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _short(text: str, folder: Path) -> str:
    return text.replace(f"{folder}/", "").replace(str(folder), "…")


def cut(content: bytes, share: float) -> bytes:
    return content[: int(share * len(content))]


def spoiled(jpeg: bytes) -> bytes:
    """A JPEG of the same length with a third of its coefficients overwritten."""
    start, length = jpeg.index(b"\xff\xda") + 60, len(jpeg) // 3
    no_markers = np.random.default_rng(0).integers(0, 255, length, np.uint8)
    return jpeg[:start] + no_markers.tobytes() + jpeg[start + length :]


def stray(jpeg: bytes) -> bytes:
    """A JPEG with bytes that belong to nothing before its first table."""
    tables = jpeg.index(b"\xff\xdb")
    return jpeg[:tables] + bytes(3) + jpeg[tables:]


def turned_exif(by: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = by
    return exif


def exif_turned(array: np.ndarray, by: int = 6) -> bytes:
    """A JPEG that is upright when it is turned by an EXIF orientation; 6: right by a quarter."""
    return encoded(array, "JPEG", exif=turned_exif(by), quality=90)


def two(skin: int, lesion: int, number: int = 1) -> np.ndarray:
    """The victim's mask, or another's, in two values."""
    return np.where(drawn(number)[1], lesion, skin).astype(np.uint8)


def labels(*values: int) -> np.ndarray:
    """The victim's mask as skin, lesion and a part of the lesion."""
    rows = np.arange(HEIGHT)[:, None] < HEIGHT // 2
    return np.array(values, np.uint8)[two(0, 1) * (1 + rows)]


def with_palette(indices: np.ndarray, *colours: tuple[int, int, int]) -> bytes:
    picture = Image.fromarray(indices)
    picture.putpalette([level for colour in colours for level in colour])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def every_mask(data: Data, made: Callable[[int], bytes]) -> None:
    """Replaces the masks of all splits, given their number."""
    for number, name in enumerate(list(data.masks)):
        data.masks[name] = made(number)
    for number, split in ((3, "Validation"), (4, "Test")):
        name = f"ISIC_000000{number + 1}_segmentation.png"
        write_zip(data.folder / f"X_{split}_GroundTruth.zip", {name: made(number)})


def png_part(content: bytes, name: bytes) -> tuple[int, int]:
    """Where the content of a PNG's part starts and ends; its checksum follows."""
    start = content.index(name) + 4
    return start, start + int.from_bytes(content[start - 8 : start - 4])


def huge_png(width: int, height: int) -> bytes:
    """A PNG of zeros, by a compressor that never sees all of them."""
    compressor = zlib.compressobj(9)
    line = bytes(width // 8 + 1)
    parts = [compressor.compress(line) for _ in range(height)] + [compressor.flush()]

    def part(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", header)
        + part(b"IDAT", b"".join(parts))
        + part(b"IEND", b"")
    )


def patch_member(archive: Path, member: str, local: int, value: bytes) -> None:
    """Overwrites a field of a member in both of its headers: `local` bytes after the start of the
    first, and as much further in the archive's directory as the field lies there."""
    content, name = bytearray(archive.read_bytes()), member.encode()
    first, second = content.index(name), content.rindex(name)
    for start in (first - 30 + local, second - 46 + local + 2):
        content[start : start + len(value)] = value
    archive.write_bytes(content)


# Images


@kind("JPEG without its last 2 bytes", REJECTED, VICTIM, "image: Premature end")
def _(data: Data) -> None:
    data.image = data.image[:-2]


@kind("JPEG cut at 80 %", REJECTED, VICTIM, "image: Premature end")
def _(data: Data) -> None:
    data.image = cut(data.image, 0.8)


@kind("JPEG cut at 1 %", REJECTED, VICTIM, "image: ")
def _(data: Data) -> None:
    data.image = cut(data.image, 0.01)


@kind("JPEG of 0 bytes", REJECTED, VICTIM, "image: not an image: its 0 bytes")
def _(data: Data) -> None:
    data.image = b""


@kind("JPEG with overwritten coefficients", REJECTED, VICTIM, "image: Corrupt JPEG data")
def _(data: Data) -> None:
    data.image = spoiled(data.image)


@kind("progressive JPEG with overwritten coefficients", REJECTED, VICTIM, "image: ")
def _(data: Data) -> None:
    data.image = spoiled(encoded(drawn(1)[0], "JPEG", quality=90, progressive=True))


@kind("JPEG with stray bytes between the parts of its header", NOTED, "harmless JPEG warning")
def _(data: Data) -> None:
    data.image = stray(data.image)


@kind("JPEG with such stray bytes, cut at 80 %", REJECTED, VICTIM, "image: Premature end")
def _(data: Data) -> None:
    data.image = cut(stray(data.image), 0.8)


@kind("web page in place of a JPEG", REJECTED, VICTIM, "image: not an image", "<html>")
def _(data: Data) -> None:
    data.image = b"<html><h1>503 Slow Down</h1></html>"


@kind("PNG that is named .jpg", USED, "3 train")
def _(data: Data) -> None:
    data.image = encoded(drawn(1)[0], "PNG")


@kind("JPEG to be turned by EXIF, its mask upright", NOTED, "1 × turned by EXIF")
def _(data: Data) -> None:
    data.image = exif_turned(np.ascontiguousarray(np.rot90(drawn(1)[0])))


@kind(
    "JPEG to be turned by EXIF by a quarter, its mask as stored",
    NOTED,
    "1 × mask turned as its image",
    "1 × turned by EXIF",
)
def _(data: Data) -> None:
    data.image = exif_turned(drawn(1)[0])


@kind("JPEG to be turned by EXIF by a half, its mask upright", NOTED, "note: 1 × turned by EXIF")
def _(data: Data) -> None:
    data.image = exif_turned(np.ascontiguousarray(np.rot90(drawn(1)[0], 2)), by=3)


@kind(
    "JPEG to be turned by EXIF by a half, its mask as stored",
    NOTED,
    "1 × mask turned as its image",
    "1 × turned by EXIF",
)
def _(data: Data) -> None:
    data.image = exif_turned(drawn(1)[0], by=3)


@kind(
    "square JPEG to be mirrored by EXIF, its mask as stored",
    NOTED,
    "1 × mask turned as its image",
    "1 × turned by EXIF",
)
def _(data: Data) -> None:
    image, mask = lesion_image(1, WIDTH, WIDTH)
    data.image, data.mask = exif_turned(image, by=5), encode_mask(mask)


@kind(
    "image to be turned by EXIF by a half whose colours do not tell how its mask was drawn",
    REJECTED,
    VICTIM,
    "its EXIF turns the image (orientation 3)",
)
def _(data: Data) -> None:
    data.image = exif_turned(np.full((HEIGHT, WIDTH, 3), 120, np.uint8), by=3)


@kind("such an image whose mask has the same EXIF", NOTED, "1 × turned by EXIF")
def _(data: Data) -> None:
    data.image = exif_turned(np.full((HEIGHT, WIDTH, 3), 120, np.uint8), by=3)
    data.mask = encoded(drawn(1)[1].astype(np.uint8) * 255, "PNG", exif=turned_exif(3))


@kind("JPEG with cut EXIF", NOTED, "1 × damaged EXIF")
def _(data: Data) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    data.image = encoded(drawn(1)[0], "JPEG", exif=exif.tobytes()[:20])


@kind("CMYK JPEG", NOTED, "1 × CMYK")
def _(data: Data) -> None:
    data.image = mode("CMYK", "JPEG")


@kind("grey JPEG", NOTED, "1 × grey")
def _(data: Data) -> None:
    data.image = mode("L", "JPEG")


@kind("PNG of 16 bits", NOTED, "1 × 16 bit")
def _(data: Data) -> None:
    _, content = cv2.imencode(".png", drawn(1)[0].astype(np.uint16) * 257)
    data.image = content.tobytes()


@kind("TIFF of 32 bits", REJECTED, VICTIM, "image: 32 bits")
def _(data: Data) -> None:
    data.image = encoded(drawn(1)[0][..., 0].astype(np.float32), "TIFF")


@kind("PNG with an alpha channel", NOTED, "1 × alpha")
def _(data: Data) -> None:
    data.image = mode("RGBA")


@kind("PNG with a palette", NOTED, "1 × palette")
def _(data: Data) -> None:
    data.image = mode("P")


@kind("animated GIF", REJECTED, VICTIM, "image: 2 pictures in one file")
def _(data: Data) -> None:
    frames = [Image.fromarray(drawn(seed)[0]) for seed in (1, 2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    data.image = buffer.getvalue()


@kind("PNG of 50 kB that holds 400 million pixels", REJECTED, VICTIM, "20000×20000 pixels")
def _(data: Data) -> None:
    data.image = huge_png(20_000, 20_000)


@kind("JPEG whose header claims 600 million pixels", REJECTED, VICTIM, "30000×20000 pixels")
def _(data: Data) -> None:
    size = data.image.index(b"\xff\xc0") + 5
    data.image = data.image[:size] + struct.pack(">HH", 20_000, 30_000) + data.image[size + 4 :]


@kind("image of another size than its mask", REJECTED, VICTIM, "image 50×36, mask 48×36")
def _(data: Data) -> None:
    data.image = encoded(lesion_image(1, HEIGHT, WIDTH + 2)[0], "JPEG")


# Masks


@kind("mask without its last 2 bytes", REJECTED, VICTIM, "mask: cut")
def _(data: Data) -> None:
    data.mask = data.mask[:-2]


@kind("mask with a wrong checksum", REJECTED, VICTIM, "mask: damaged: the checksum", "IDAT")
def _(data: Data) -> None:
    _, end = png_part(data.mask, b"IDAT")
    data.mask = data.mask[:end] + bytes(4) + data.mask[end + 4 :]


@kind("mask with damaged pixels and a right checksum", REJECTED, VICTIM, "mask: ")
def _(data: Data) -> None:
    start, end = png_part(data.mask, b"IDAT")
    content = data.mask[start : end - 8] + bytes(8)
    checksum = struct.pack(">I", zlib.crc32(b"IDAT" + content))
    data.mask = data.mask[:start] + content + checksum + data.mask[end + 4 :]


@kind("mask in grey as a picture in colours", USED, "3 train")
def _(data: Data) -> None:
    data.mask = encoded(np.dstack([two(0, 255)] * 3), "PNG")


@kind("mask with a palette of black and white, in any order", USED, "3 train")
def _(data: Data) -> None:
    data.mask = with_palette(two(1, 0), (255, 255, 255), (0, 0, 0))


@kind("mask with a palette of other colours", NOTED, "1 × mask of index 0 and 1")
def _(data: Data) -> None:
    data.mask = with_palette(two(0, 1), (0, 0, 0), (128, 0, 0))


@kind("mask in red on black", NOTED, "1 × mask of 0 and 76")
def _(data: Data) -> None:
    data.mask = encoded(np.dstack([two(0, 255), two(0, 0), two(0, 0)]), "PNG")


@kind("mask whose shape is in its alpha channel", NOTED, "1 × mask of alpha 0 and 255")
def _(data: Data) -> None:
    data.mask = encoded(np.dstack([*[two(0, 0)] * 3, two(0, 255)]), "PNG")


@kind("mask of 0 and 1", NOTED, "1 × mask of 0 and 1")
def _(data: Data) -> None:
    data.mask = encoded(two(0, 1), "PNG")


@kind("mask of 0 and 128", NOTED, "1 × mask of 0 and 128")
def _(data: Data) -> None:
    data.mask = encoded(two(0, 128), "PNG")


@kind("mask of 100 and 200", NOTED, "1 × mask of 100 and 200")
def _(data: Data) -> None:
    data.mask = encoded(two(100, 200), "PNG")


@kind("mask of 16 bits", NOTED, "1 × mask of 0 and 65535")
def _(data: Data) -> None:
    _, content = cv2.imencode(".png", two(0, 255).astype(np.uint16) * 257)
    data.mask = content.tobytes()


@kind("mask of 32 bits with fractions", REJECTED, VICTIM, "mask: 32 bits")
def _(data: Data) -> None:
    data.mask = encoded(np.where(drawn(1)[1], 0.9, 0.1).astype(np.float32), "TIFF")


@kind("mask as JPEG", NOTED, "1 × mask of several values")
def _(data: Data) -> None:
    data.mask = encoded(two(0, 255), "JPEG", quality=75)


@kind("mask of 0 and 128 as JPEG", NOTED, "1 × mask of several values")
def _(data: Data) -> None:
    data.mask = encoded(two(0, 128), "JPEG", quality=75)


@kind("mask with soft edges", NOTED, "1 × mask of several values")
def _(data: Data) -> None:
    data.mask = encoded(cv2.GaussianBlur(two(0, 255), (0, 0), 1), "PNG")


@kind(
    "mask of the labels 0, 1 and 2", REJECTED, VICTIM, "3 separate values", "lesion_values: [1, 2]"
)
def _(data: Data) -> None:
    data.mask = encoded(labels(0, 1, 2), "PNG")


@kind("mask with areas of 0, 128 and 255", REJECTED, VICTIM, "3 separate values, 0 (")
def _(data: Data) -> None:
    data.mask = encoded(labels(0, 128, 255), "PNG")


@kind("mask in black, red and green", REJECTED, VICTIM, "3 separate values, 0 (")
def _(data: Data) -> None:
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)
    data.mask = encoded(colours[labels(0, 1, 2)], "PNG")


@kind("map of probabilities without an edge", REJECTED, VICTIM, "mask: soft throughout")
def _(data: Data) -> None:
    inside = cv2.distanceTransform(two(0, 1), cv2.DIST_L2, 5)
    data.mask = encoded((inside / inside.max() * 255).astype(np.uint8), "PNG")


@kind("photograph in place of a mask", REJECTED, VICTIM, "mask: no two values")
def _(data: Data) -> None:
    data.mask = encoded(drawn(1)[0][..., 1], "PNG")


@kind("animated GIF in place of a mask", REJECTED, VICTIM, "mask: 2 pictures in one file")
def _(data: Data) -> None:
    frames = [Image.fromarray(two(0, 255, number)) for number in (1, 2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    data.mask = buffer.getvalue()


@kind("mask of 0 only", NOTED, "1 × no lesion")
def _(data: Data) -> None:
    data.mask = encode_mask(np.zeros((HEIGHT, WIDTH), bool))


@kind("mask of 255 only", NOTED, "1 × all lesion")
def _(data: Data) -> None:
    data.mask = encode_mask(np.ones((HEIGHT, WIDTH), bool))


@kind("mask of 7 only", REJECTED, VICTIM, "mask: 7 is the only value", "lesion_values: [7]")
def _(data: Data) -> None:
    data.mask = encoded(np.full((HEIGHT, WIDTH), 7, np.uint8), "PNG")


@kind("mask of 7 only among masks of 0 and 7", NOTED, "1 × all lesion", "4 × mask of 0 and 7")
def _(data: Data) -> None:
    every_mask(data, lambda number: encoded(two(7 * (number == 1), 7, number), "PNG"))


@kind("masks of 0 and 1, but one of 1 and 2", STOPS, f"{MASKS}.zip", VICTIM, "1 is skin in one")
def _(data: Data) -> None:
    every_mask(data, lambda number: encoded(two(0, 1, number), "PNG"))
    data.mask = encoded(two(1, 2), "PNG")


@kind("all masks of 0 only", STOPS, "3 of 3 masks of the train split have no lesion", "0 in 3")
def _(data: Data) -> None:
    every_mask(data, lambda number: encode_mask(np.zeros((HEIGHT, WIDTH), bool)))


@kind("mask of another size", REJECTED, VICTIM, "image 48×36, mask 48×35")
def _(data: Data) -> None:
    data.mask = encode_mask(drawn(1)[1][:-1])


@kind("web page in place of a mask", REJECTED, VICTIM, "mask: not an image", "<html>")
def _(data: Data) -> None:
    data.mask = b"<html><h1>503 Slow Down</h1></html>"


# Members of archives


@kind("mask missing", STOPS, f"{MASKS}.zip", f"{VICTIM}.jpg", stage="download")
def _(data: Data) -> None:
    del data.masks[MASK]


@kind("image missing", STOPS, f"{IMAGES}.zip", f"{VICTIM}_segmentation.png", stage="download")
def _(data: Data) -> None:
    del data.images[IMAGE]


@kind("licence, table and notes among the images", NOTED, "2 × passed over", stage="download")
def _(data: Data) -> None:
    for name in ("LICENSE.txt", "metadata.csv", "notes/read.md"):
        data.images[f"{IMAGES}/{name}"] = b"hello"


@kind("film among the images", STOPS, f"{IMAGES}.zip", "film.mp4", "under ignore", stage="download")
def _(data: Data) -> None:
    data.images[f"{IMAGES}/film.mp4"] = b"moving"


@kind("image that has no pair among the masks", STOPS, f"{MASKS}.zip", "X.png", stage="download")
def _(data: Data) -> None:
    data.masks[f"{MASKS}/X.png"] = data.mask


@kind("one member twice", STOPS, f"{IMAGES}.zip", VICTIM, "twice", stage="download", written=True)
def _(data: Data) -> None:
    other = f"{IMAGES}/ISIC_000000X.jpg"
    write_zip(data.image_archive, data.images | {other: data.image})
    content = data.image_archive.read_bytes()
    data.image_archive.write_bytes(content.replace(other.encode(), IMAGE.encode()))


@kind("one id in two folders", STOPS, f"{IMAGES}.zip", VICTIM, "twice", stage="download")
def _(data: Data) -> None:
    data.images[f"elsewhere/{VICTIM}.jpg"] = data.image


@kind("one id in two splits", STOPS, "zip", "ISIC_0000005", "split too", stage="download")
def _(data: Data) -> None:
    image, mask = whole_pairs()[4]
    data.images[f"{IMAGES}/ISIC_0000005.jpg"] = image
    data.masks[f"{MASKS}/ISIC_0000005_segmentation.png"] = mask


@kind("member named ../X.jpg", STOPS, f"{IMAGES}.zip", f"../{VICTIM}.jpg", stage="download")
def _(data: Data) -> None:
    data.images[f"../{VICTIM}.jpg"] = data.images.pop(IMAGE)


@kind("member named /X.jpg", STOPS, f"{IMAGES}.zip", f"/{VICTIM}.jpg", stage="download")
def _(data: Data) -> None:
    data.images[f"/{VICTIM}.jpg"] = data.images.pop(IMAGE)


@kind("members in folders of Windows, x\\X.jpg", USED, "3 train")
def _(data: Data) -> None:
    for members in (data.images, data.masks):
        for name in list(members):
            members[name.replace("/", "\\")] = members.pop(name)


@kind("member named ..\\X.jpg", STOPS, f"{IMAGES}.zip", "leads out of it", stage="download")
def _(data: Data) -> None:
    data.images[f"..\\{VICTIM}.jpg"] = data.images.pop(IMAGE)


@kind("member named C:\\X.jpg", STOPS, f"{IMAGES}.zip", "leads out of it", stage="download")
def _(data: Data) -> None:
    data.images[f"C:\\{VICTIM}.jpg"] = data.images.pop(IMAGE)


def rename(data: Data, image: str, mask: str) -> None:
    """Gives the victim's image and mask other ids."""
    data.images[f"{IMAGES}/{image}.jpg"] = data.images.pop(IMAGE)
    data.masks[f"{MASKS}/{mask}_segmentation.png"] = data.masks.pop(MASK)


@kind("image named by a Mac (a and ¨), mask elsewhere (ä)", USED, "3 train", victim=f"{VICTIM}ä")
def _(data: Data) -> None:
    rename(data, f"{VICTIM}a\u0308", f"{VICTIM}ä")


@kind("two images that are both called ä (ä, a and ¨)", STOPS, "ä occurs twice", stage="download")
def _(data: Data) -> None:
    data.images |= {f"{IMAGES}/ä.jpg": data.image, f"{IMAGES}/a\u0308.jpg": data.image}


@kind(
    "images packed by a Mac, UTF-8 without saying so",
    USED,
    "3 train",
    written=True,
    victim=f"{VICTIM}ä",
)
def _(data: Data) -> None:
    rename(data, f"{VICTIM}ä", f"{VICTIM}ä")
    data.write()
    data.image_archive.write_bytes(without_utf8_flag(data.image_archive.read_bytes()))


@kind(
    "image named in a code page of Windows",
    STOPS,
    "no mask of image",
    "names in UTF-8",
    stage="download",
    written=True,
)
def _(data: Data) -> None:
    rename(data, f"{VICTIM}ä", f"{VICTIM}ä")
    data.write()
    content = data.image_archive.read_bytes().replace("ä".encode(), b"\xe4_")
    data.image_archive.write_bytes(without_utf8_flag(content))


@kind("member with a line break in its name", STOPS, f"{IMAGES}.zip", "control", stage="download")
def _(data: Data) -> None:
    rename(data, f"{VICTIM}\n", f"{VICTIM}\n")


@kind("id that a spreadsheet takes for a formula", STOPS, "formula", "rename", stage="download")
def _(data: Data) -> None:
    rename(data, "=1+1", "=1+1")


@kind("id of 201 letters", STOPS, "expected at most 200", "rename", stage="download")
def _(data: Data) -> None:
    rename(data, "a" * 201, "a" * 201)


@kind("member with a letter that turns the order of others", STOPS, "rename", stage="download")
def _(data: Data) -> None:
    rename(data, "a\u202egpj", "a\u202egpj")


@kind(
    "member whose name is no UTF-8",
    STOPS,
    f"{IMAGES}.zip",
    "is said to be UTF-8",
    "names in UTF-8",
    stage="download",
    written=True,
)
def _(data: Data) -> None:
    patch_member(data.image_archive, IMAGE, 6, struct.pack("<H", 0x800))  # says that it is
    content = data.image_archive.read_bytes()
    data.image_archive.write_bytes(content.replace(IMAGE.encode(), b"\xff" * len(IMAGE)))


@kind("member with a flipped bit", REJECTED, VICTIM, f"{IMAGES}.zip", IMAGE, "CRC", written=True)
def _(data: Data) -> None:
    content = bytearray(data.image_archive.read_bytes())
    content[content.index(data.image) + len(data.image) // 2] ^= 1
    data.image_archive.write_bytes(content)


@kind("member whose own header is overwritten", REJECTED, VICTIM, f"{IMAGES}.zip", written=True)
def _(data: Data) -> None:
    content = bytearray(data.image_archive.read_bytes())
    start = content.index(IMAGE.encode()) - 30
    content[start : start + 4] = bytes(4)
    data.image_archive.write_bytes(content)


@kind("encrypted member", REJECTED, VICTIM, f"{IMAGES}.zip", "encrypted", written=True)
def _(data: Data) -> None:
    patch_member(data.image_archive, IMAGE, 6, struct.pack("<H", 1))


@kind("member packed by an unknown method", REJECTED, VICTIM, f"{IMAGES}.zip", written=True)
def _(data: Data) -> None:
    patch_member(data.image_archive, IMAGE, 8, struct.pack("<H", 98))


@kind("member packed by LZMA", REJECTED, VICTIM, "stored or deflated", written=True)
def _(data: Data) -> None:
    whole = {name: content for name, content in data.images.items() if name != IMAGE}
    write_zip(data.image_archive, whole)
    with zipfile.ZipFile(data.image_archive, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr(IMAGE, data.image)


@kind("member that unpacks to 257 MB", REJECTED, VICTIM, f"{IMAGES}.zip", IMAGE, written=True)
def _(data: Data) -> None:
    whole = {name: content for name, content in data.images.items() if name != IMAGE}
    write_zip(data.image_archive, whole)
    with (
        zipfile.ZipFile(data.image_archive, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(IMAGE, "w") as member,
    ):
        for _ in range(LARGEST // 2**20 + 1):
            member.write(bytes(2**20))


@kind("member that unpacks to more than it says", REJECTED, VICTIM, f"{IMAGES}.zip", written=True)
def _(data: Data) -> None:
    patch_member(data.image_archive, IMAGE, 22, struct.pack("<I", 100))


# Archives


@kind("archive without members", STOPS, f"{IMAGES}.zip", stage="download")
def _(data: Data) -> None:
    data.images.clear()
    data.masks.clear()


@kind("web page in place of an archive", STOPS, f"{IMAGES}.zip", stage="download", written=True)
def _(data: Data) -> None:
    data.image_archive.write_text("<html><h1>503 Slow Down</h1></html>")


@kind("archive cut at 80 %", STOPS, f"{IMAGES}.zip", stage="download", written=True)
def _(data: Data) -> None:
    data.image_archive.write_bytes(cut(data.image_archive.read_bytes(), 0.8))


@kind("archive without its last 2 bytes", STOPS, f"{MASKS}.zip", stage="download", written=True)
def _(data: Data) -> None:
    data.mask_archive.write_bytes(data.mask_archive.read_bytes()[:-2])


@kind("archive of 0 bytes", STOPS, f"{MASKS}.zip", "0 bytes", stage="download", written=True)
def _(data: Data) -> None:
    data.mask_archive.write_bytes(b"")


@kind("archive with overwritten directory", STOPS, f"{IMAGES}.zip", stage="download", written=True)
def _(data: Data) -> None:
    content = bytearray(data.image_archive.read_bytes())
    content[content.rindex(IMAGE.encode()) - 46] = 0
    data.image_archive.write_bytes(content)


@kind("folder in place of an archive", STOPS, f"{IMAGES}.zip", stage="download", written=True)
def _(data: Data) -> None:
    data.image_archive.unlink()
    data.image_archive.mkdir()


@kind("FIFO in place of an archive", STOPS, f"{IMAGES}.zip", stage="download", written=True)
def _(data: Data) -> None:
    data.image_archive.unlink()
    os.mkfifo(data.image_archive)


@kind("link to an archive that is gone", STOPS, f"{IMAGES}.zip", stage="download", written=True)
def _(data: Data) -> None:
    data.image_archive.rename(data.folder / "gone")
    data.image_archive.symlink_to("gone")
    (data.folder / "gone").unlink()


@kind("archive of masks missing", STOPS, f"{IMAGES}.zip", "masks", stage="download", written=True)
def _(data: Data) -> None:
    data.mask_archive.unlink()


@kind("two archives of one split's images", STOPS, f"{IMAGES}.zip", stage="download", written=True)
def _(data: Data) -> None:
    shutil.copy(data.image_archive, data.folder / "ISIC2017_Training_Data.zip")


INTRODUCTION = """\
What becomes of a data set with one fault, a kind of fault a row, printed by
`python tests/damaged_input.py`; `tests/test_damaged_input.py` holds that it is so.

A stage *stops* with exit status 1 and the one line that is shown. A pair is *rejected*: listed
with its reason in `metrics/data.csv` and `arrays/rejected.csv`; more than `max_rejected` of them,
none as the parameters are, stop the stage. It is used and *noted*: counted in `metrics/data.json`
and listed, or, for what lies beside the images, said by download. Or it is *used*, as nothing of
it is lost. What counts as a mask's two values, and how a mask is turned with its image, is in
[data.md](data.md#masks)."""


def page() -> str:
    """docs/damaged-input.md"""
    lines = [
        "# Damaged input",
        "",
        INTRODUCTION,
        "",
        "| input | outcome | what is said |",
        "|---|---|---|",
    ]
    for kind in KINDS:
        result = result_of(kind)
        where = f"{result.stage} stops" if result.outcome == STOPS else result.outcome
        lines.append(f"| {kind.name} | {where} | `{result.text.replace('|', chr(92) + '|')}` |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
