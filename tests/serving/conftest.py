from collections.abc import Iterator

import pytest

from lesion.prediction.segmenter import Segmenter
from served import served
from small_model import write_model


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter.of_folder(write_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def where(segmenter: Segmenter) -> Iterator[str]:
    with served(segmenter) as address:
        yield address
