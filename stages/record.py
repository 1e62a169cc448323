"""Gives the MLflow run of this training its results, or finds the run again.

reads   model/, arrays/ (their hashes), metrics/, plots/, params.yaml
writes  parameters, metrics, data set, pictures, tables and the model in MLflow, and
        record/result.json, the hashes by which that run is found
knobs   all, to write them down

The stage train has opened the run and logged its epochs. Where this model has another result
already (evaluated otherwise, say), or was never trained in this store, a run is made from the
outputs. Where the very result is known, its run is tagged with the experiment that came to it.
By hand, after `dvc pull` for instance: python stages/record.py
"""

from pathlib import Path

from lesion.console.cli import PROJECT, run
from lesion.formats.arrays import training_arrays
from lesion.formats.fingerprint import code_hash, data_hash
from lesion.formats.header import read_header
from lesion.formats.settings import SETTINGS_FILE, read_settings
from lesion.formats.splits import SPLITS
from lesion.formats.tables import METRICS, load_table
from lesion.parameters.reading import load_params
from lesion.parameters.record import RecordParams
from lesion.pipeline.files import require_room, write_json
from lesion.tracking import runs
from lesion.tracking.result import MODEL, in_workspace
from lesion.tracking.spool import spool
from lesion.upkeep import finished

RAW = Path("raw")
ARRAYS = Path("arrays")
PLOTS = Path("plots")
SETTINGS = MODEL.with_name(SETTINGS_FILE)


def main() -> None:
    knobs = load_params(RecordParams)
    header = read_header(MODEL)
    read_settings(SETTINGS, MODEL)  # which belong together, before anything is written down
    result = in_workspace()
    data = data_hash(training_arrays(ARRAYS))
    require_room(spool(), sum(map(size, (METRICS, PLOTS, MODEL, SETTINGS))))
    with runs.result(result.model_hash, result.hash) as log:
        log.params(result.params)
        log.tags(result.words)
        log.tags({"fingerprint": header.fingerprint, "data_hash": data})
        log.tags({"code_hash": code_hash(PROJECT / "stages")})
        log.dataset(
            knobs.data if knobs.source == "data" else knobs.source,
            digest=data,
            source=str(RAW.resolve()),
            images={split: int(result.numbers[f"{split}.kept"]) for split in SPLITS},
        )
        log.history(load_table("history").to_dict("records"))
        log.metrics(result.numbers)
        log.file(METRICS)
        log.file(PLOTS)
        log.model(MODEL, SETTINGS)
    write_json(
        Path("record/result.json"),
        {"model_hash": result.model_hash, "result_hash": result.hash},
    )
    finished.remove_if_noted(header.fingerprint)
    print(f"recorded: model {result.model_hash}, test Dice {result.numbers['test.dice']}")


def size(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")))


if __name__ == "__main__":
    run(main)
