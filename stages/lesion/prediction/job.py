"""Photographs in, a folder of masks and measures out; broken off, it goes on where it was.

masks/ID_segmentation.png   as the challenge has it: 8 bit grey, 0 and 255, at the original size
overlays/ID.jpg             where they are asked for: the photograph with the mask's outline
progress.jsonl              a line for each photograph that is done, by which work goes on
predictions.csv             a row for each photograph, and rejected.csv for each that cannot be used
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import cv2
import numpy as np

from lesion.photos.images import decode_image, encode_mask
from lesion.photos.members import add_member
from lesion.photos.names import MASK_SUFFIX
from lesion.pipeline.errors import ImageError, InputError
from lesion.pipeline.files import naming, write_bytes
from lesion.pipeline.parallel import in_order
from lesion.prediction.measures import Measures
from lesion.prediction.photographs import Source
from lesion.prediction.segmenter import Segmentation, Segmenter

LINE = 1 / 400  # of the longer side
YELLOW = (255, 212, 0)  # as found lesion has in the report
JPEG_QUALITY = 90
COLUMNS = [
    *("id", "file", "image_height", "image_width"),
    *Measures.__annotations__,
    *("expected_dice", "review", "notes"),
]


@dataclass(frozen=True)
class Done:
    """What became of a source: a row with COLUMNS, or the reason why it has none.

    `earlier`: it was there before.
    """

    source: Source
    row: dict[str, Any] | None
    reason: str = ""
    earlier: bool = False


class Job:
    """What one model makes of photographs in the folder `out`; machines may share it."""

    def __init__(self, out: Path, segmenter: Segmenter, *, overlays: bool = False) -> None:
        """
        Raises:
            InputError: the folder holds what another model has made.
        """
        self.out, self.segmenter, self.overlays = out, segmenter, overlays
        self._model = segmenter.settings.model_dump()
        self._noted = self._read_progress()

    def run(self, sources: Sequence[Source], part: str = "") -> Iterator[Done]:
        """Each of the sources, in their order; what is done already takes no time.

        What gets done is noted in progress`part`.jsonl: machines need one each.
        """
        size = self.segmenter.together
        chunks = [sources[start : start + size] for start in range(0, len(sources), size)]
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / f"progress{part}.jsonl").open("a+", encoding="utf-8") as progress:
            progress.write("\n")  # behind a line that a kill has cut
            for chunk in in_order(self._chunk, chunks):
                for done in chunk:
                    if done.row and not done.earlier:
                        progress.write(self._line(done.source, done.row))
                        progress.flush()
                    yield done

    def mask_path(self, source: Source) -> Path:
        """Where its mask lies."""
        return self.out / "masks" / f"{source.id}{MASK_SUFFIX}.png"

    def _chunk(self, sources: Sequence[Source]) -> list[Done]:
        """Of a forward pass; by one thread."""
        found: dict[str, Done] = {}
        contents: list[tuple[Source, bytes]] = []
        for source in sources:
            if row := self._finished(source):
                found[source.id] = Done(source, row, earlier=True)
                continue
            try:
                contents.append((source, source.read()))
            except ImageError as error:
                found[source.id] = Done(source, None, str(error))
        results = self.segmenter.several([content for _, content in contents])
        for (source, content), result in zip(contents, results, strict=True):
            if isinstance(result, ImageError):
                found[source.id] = Done(source, None, str(result))
            else:
                self._write(source, content, result)
                found[source.id] = Done(source, _row(source, result))
        return [found[source.id] for source in sources]

    def _write(self, source: Source, content: bytes, found: Segmentation) -> None:
        write_bytes(self.mask_path(source), encode_mask(found.decided.mask))
        if self.overlays:
            write_bytes(self._overlay_path(source), overlay(content, found.decided.mask))

    def _overlay_path(self, source: Source) -> Path:
        return self.out / "overlays" / f"{source.id}.jpg"

    def _finished(self, source: Source) -> dict[str, Any] | None:
        """The row of what was made of this very file, and is all there."""
        version, row = self._noted.get(source.id, (None, None))
        paths = [self.mask_path(source), *([self._overlay_path(source)] * self.overlays)]
        done = version == [*source.version] and all(path.exists() for path in paths)
        return row if done else None

    def _read_progress(self) -> dict[str, tuple[list[int], dict[str, Any]]]:
        """Version and row of each id that is noted, of which a kill may have cut the last line."""
        noted = {}
        for path in sorted(self.out.glob("progress*.jsonl")):
            for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    line = json.loads(text)
                    if line["model"] != self._model:
                        raise InputError(
                            f"{path}: {self.out} holds what another model made, or the same with "
                            "other settings; expected a folder for this one; name it with -o"
                        )
                    noted[line["id"]] = line["version"], line["row"]
        return noted

    def _line(self, source: Source, row: dict[str, Any]) -> str:
        noted = {"id": source.id, "version": source.version, "row": row, "model": self._model}
        return json.dumps(noted) + "\n"


def _row(source: Source, found: Segmentation) -> dict[str, Any]:
    photograph = found.square.photograph
    height, width = photograph.shape
    numbers = Measures.of(found).as_row()
    return {
        "id": source.id,
        "file": source.name,
        "image_height": height,
        "image_width": width,
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        "expected_dice": round(found.decided.expected_dice, 6),
        "review": str(found.review).lower(),
        "notes": ", ".join(photograph.notes),
    }


def overlay(content: bytes, mask: np.ndarray) -> bytes:
    """JPEG of a photograph, by the bytes of its file, with the outline of its mask, H×W bool."""
    picture = np.ascontiguousarray(decode_image(content).pixels[..., ::-1])
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(max(mask.shape) * LINE))
    cv2.drawContours(picture, outlines, -1, YELLOW[::-1], thickness, cv2.LINE_AA)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """A CSV, written whole; without pandas, which takes longer to import than one photograph."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def pack_submission(path: Path, masks: Iterable[Path]) -> None:
    """A zip archive of masks, all at its top, as the challenge takes them.

    Raises:
        InputError: two of them would have one name.
    """
    part, names = path.with_name(f"{path.name}.part"), set()
    try:
        with naming(part, path), ZipFile(part, "w") as archive:
            for mask in masks:
                if mask.name in names:
                    raise InputError(
                        f"{mask}: another mask has its name; the challenge takes no folders"
                    )
                names.add(mask.name)
                add_member(archive, mask.name, mask.read_bytes())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
