"""Which pre-trained network is needed."""

from lesion.formats.architecture import EncoderName
from lesion.parameters.model import StageParams


class EncoderParams(StageParams):
    encoder: EncoderName
