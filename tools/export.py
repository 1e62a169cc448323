"""Writes the trained model as one ONNX file, for other programs, and checks it in onnxruntime.

    python tools/export.py model.onnx                  # of the pipeline's model/
    python tools/export.py model.onnx --model FOLDER   # with unet.safetensors and predictor.json

It takes uint8 RGB images, B×H×W×3 of any B, H and W, and gives calibrated probabilities, float32
B×H×W; what makes a mask of them are the file's metadata properties (docs/export.md). The file is
written only if its probabilities are those of torch to 1e-4. Needs requirements-export.txt.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import in_project, parser


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("file", help="to write")
    arguments.add_argument("--model", metavar="FOLDER", help="left out: the pipeline's")
    given = arguments.parse_args()
    path, folder = (name and Path(os.path.abspath(name)) for name in (given.file, given.model))
    with in_project():
        from lesion.prediction.onnx_file import export
        from lesion.prediction.segmenter import FOLDER

        checked = export(folder or FOLDER, path)
        batches = ", ".join("×".join(map(str, shape)) for shape in checked.shapes)
        print(
            f"{given.file}: {path.stat().st_size / 1e6:.1f} MB; greatest difference from torch "
            f"{checked.difference:.1e}, of images {batches}"
        )


if __name__ == "__main__":
    main()
