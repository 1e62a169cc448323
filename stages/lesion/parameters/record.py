"""All parameters, to write them down with the result."""

from lesion.parameters.collect import CollectParams
from lesion.parameters.download import DownloadParams
from lesion.parameters.encoder import EncoderParams
from lesion.parameters.evaluate import EvaluateParams
from lesion.parameters.plot import PlotParams
from lesion.parameters.preprocess import PreprocessParams


class RecordParams(
    DownloadParams, CollectParams, PreprocessParams, EncoderParams, EvaluateParams, PlotParams
):
    """Those of the other stages together; PlotParams has those of train."""
