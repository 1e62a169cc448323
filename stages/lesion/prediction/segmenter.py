"""One object that does to a photograph what the stages preprocess and evaluate do to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lesion.formats.header import WEIGHTS_FILE
from lesion.formats.settings import SETTINGS_FILE, Settings, read_settings
from lesion.network.device import prepare
from lesion.network.predict import Predictor, images_a_pass, probability_maps
from lesion.network.weights import load_model
from lesion.photos.square import Square, to_square
from lesion.pipeline.errors import ImageError
from lesion.scoring.decision import Decided, Decision

FOLDER = Path("model")  # where the pipeline leaves weights and settings


@dataclass(frozen=True)
class Segmentation:
    """A photograph in its square, and what was decided of it.

    `review`: a person should look at it, since so little is to be expected of the mask.
    """

    square: Square
    decided: Decided
    review: bool


class Segmenter:
    """Photographs' files in, masks out: the bytes that the stage evaluate would write.

    Threads may share one. A forward pass is of `together` photographs, and as fast for fewer.
    """

    def __init__(self, weights: Path, settings: Path) -> None:
        """
        Raises:
            InputError: one of the files is missing or damaged, or they do not belong together.
        """
        self.settings: Settings = read_settings(settings, weights)
        self.device = prepare(threads=1, precision=self.settings.precision)
        network, self.header = load_model(weights, self.device)
        self.predictor = Predictor(network, self.settings.precision)
        self.decision = Decision.by(self.settings)
        self.together = images_a_pass(self.device, self.settings.tta)

    @classmethod
    def of_folder(cls, folder: Path = FOLDER) -> Segmenter:
        """By the files that the pipeline leaves in `folder`."""
        return cls(folder / WEIGHTS_FILE, folder / SETTINGS_FILE)

    def __call__(self, content: bytes) -> Segmentation:
        """Of one photograph's file.

        Raises:
            ImageError: it is no whole image.
        """
        (found,) = self.several([content])
        if isinstance(found, ImageError):
            raise found
        return found

    def several(
        self, contents: Sequence[bytes], thresholds: Sequence[float | None] = ()
    ) -> Iterator[Segmentation | ImageError]:
        """Of photographs' files, each of which may fail by itself; one at a time, as masks of
        large photographs are large.

        `thresholds`, one for each, take the place of the one chosen on validation where not None.
        """
        squares = [self._square(content) for content in contents]
        usable = [square for square in squares if isinstance(square, Square)]
        maps = iter(self._probabilities(usable))
        for square, threshold in zip(squares, thresholds or [None] * len(squares), strict=True):
            if isinstance(square, ImageError):
                yield square
            else:
                yield self._decided(square, next(maps), threshold)

    def _square(self, content: bytes) -> Square | ImageError:
        try:
            return to_square(content, self.header.resize, self.header.image_size)
        except ImageError as error:
            return error

    def _probabilities(self, squares: Sequence[Square]) -> list[np.ndarray]:
        """S×S float32 for each, by one thread."""
        if not squares:
            return []
        images = np.stack([square.pixels for square in squares])
        tta = [self.decision.rules.tta]
        maps = probability_maps(self.predictor, images, self.device, tta, workers=1)
        return [by_option[0] for by_option in maps]

    def _decided(
        self, square: Square, probabilities: np.ndarray, threshold: float | None
    ) -> Segmentation:
        decision = self.decision
        if threshold is not None:
            decision = replace(decision, rules=replace(decision.rules, threshold=threshold))
        decided = decision.of(probabilities, square.placement, square.photograph.shape)
        return Segmentation(square, decided, decided.expected_dice <= self.settings.review_limit)
