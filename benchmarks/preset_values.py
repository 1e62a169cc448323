"""What a file in presets/ sets. It needs nothing but Python, for machines without the rest."""

import json
from pathlib import Path

PRESETS = Path(__file__).resolve().parents[1] / "presets"


def preset_values(name: str) -> dict[str, object]:
    """Parameters and their values, read as `dvc exp run` would."""
    words = (PRESETS / name).read_text(encoding="utf-8").split()
    pairs = (word.split("=") for word in words if word != "-S")
    return {key: typed(value) for key, value in pairs}


def typed(value: str) -> object:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value  # a word, such as the name of an encoder
