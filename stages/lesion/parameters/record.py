"""All parameters, to write them down with the result."""

from lesion.parameters.download import DownloadParams
from lesion.parameters.encoder import EncoderParams
from lesion.parameters.evaluate import EvaluateParams
from lesion.parameters.plot import PlotParams
from lesion.parameters.preprocess import PreprocessParams
from lesion.parameters.train import TrainParams


class RecordParams(
    DownloadParams, PreprocessParams, EncoderParams, TrainParams, EvaluateParams, PlotParams
):
    """Those of the other stages together."""
