"""Public data sets in the layouts in which they come, drawn small."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from lesion.synthetic import lesion_image


def encoded(array: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def drawn(seed: int, kind: str = "JPEG") -> tuple[bytes, np.ndarray]:
    """An image as a file, and its mask."""
    image, mask = lesion_image(seed, 36, 48)
    return encoded(image, kind), mask


def top_down_bitmap(mask: np.ndarray) -> bytes:
    """A mask as a bitmap of 24 bits whose first row comes first, as its negative height says."""
    rows = np.repeat(mask[::-1, :, None] * np.uint8(255), 3, axis=2)
    content = bytearray(encoded(rows, "BMP"))
    struct.pack_into("<i", content, 22, -len(mask))
    return bytes(content)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def ph2(count: int) -> dict[str, bytes]:
    """The PH2 database, unpacked; a mask is a top-down bitmap of 24 bits, the others have 1 bit."""
    files = {f"PH2Dataset/PH2_dataset.{kind}": b"IMD002 ..." for kind in ("txt", "xlsx")}
    for i in range(2, count + 2):
        image, mask = drawn(i, "BMP")
        name = f"IMD{i:03}"
        top = f"PH2Dataset/PH2 Dataset images/{name}/{name}"
        bitmap = top_down_bitmap(mask) if i == 3 else encoded(mask, "BMP")
        files |= {
            f"{top}_Dermoscopic_Image/{name}.bmp": image,
            f"{top}_lesion/{name}_lesion.bmp": bitmap,
            f"{top}_roi/{name}_R1_Label4.bmp": encoded(mask[::-1], "BMP"),
        }
    return files
