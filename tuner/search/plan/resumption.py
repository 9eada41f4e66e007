"""Whether a resumed run finds its own stores: it would otherwise train again what it has trained already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from model.config import ConfigError
from tuner.artifacts.addresses import file_of, mask_credentials
from tuner.config import run_folder
from tuner.config.options import Options, stores, table
from tuner.study import load_study
from tuner.tracking import timeline


def problems(options: Options, run_dir: Path, storage: str, tracking_uri: str) -> list[str]:
    """Sentences on addresses of another working directory, a copy beside its original, and stores that lack finished work."""
    sentences = _relative(options) + _copied(options, run_dir)
    return sentences or [*_trials_missing(run_dir, storage), *_mlflow_missing(options, run_dir, tracking_uri)]


def _relative(options: Options) -> list[str]:
    """Addresses relative to the working directory, as earlier versions stored them, must name a file here."""
    files = {name: file_of(address) for name, address in stores(options).items() if address}
    return [
        f"the run's {table()[name].flag} {stores(options)[name]} is relative to the folder where the search was started, and "
        f"{file.absolute()} does not exist; resume it in that folder"
        for name, file in files.items()
        if file is not None and not file.is_absolute() and not file.exists()
    ]


def _copied(options: Options, run_dir: Path) -> list[str]:
    """A copy and its original would write to the same stores outside their folders."""
    former, state = run_folder.former_folder(run_dir), run_folder.read_state(run_dir)
    outside = {**stores(options), "storage_path": options.storage_path}
    shared = [
        f"{table()[name].flag} {mask_credentials(address)}"
        for name, address in outside.items()
        if address and not (file_of(address) or Path(address)).is_relative_to(run_dir)
    ]
    original = run_folder.read_state(former) if former is not None else None
    if not shared or state is None or original is None or original.stored_as != state.stored_as:
        return []
    return [
        f"{run_dir} is a copy of {former}, and both write to {', '.join(shared)}; resume {former}, or move it elsewhere first"
    ]


def _trials_missing(run_dir: Path, storage: str) -> list[str]:
    """The study must have every trial whose end the run's folder records."""
    recorded = set(_recorded(run_dir))
    if not recorded:
        return []
    name = run_folder.study_name(run_dir)
    try:
        known = {trial.number for trial in load_study(storage, name)[1]}
        found = f"the study {name} in {mask_credentials(storage)} lacks"
    except ConfigError as error:
        known, found = set(), f"{'; '.join(error.problems)}, which lacks"
    missing = sorted(recorded - known)
    if not missing:
        return []
    numbers = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
    return [
        f"{found} {len(missing)} of the {len(recorded)} trials that {run_dir} has a record of ({numbers}); put the storage "
        f"back, or start a new search with --warm-start {run_dir.name}"
    ]


def _recorded(run_dir: Path) -> Iterator[int]:
    """Numbers of the trials in results.json, in the timeline as finished, and with a model."""
    yield from (trial["number"] for trial in run_folder.read_results(run_dir).get("trials", ()))
    yield from (event["trial"] for event in timeline.read(run_dir) if event["event"] == "finished")
    yield from (int(folder.name) for folder in (run_dir / "models").glob("*") if folder.name.isdigit())


def _mlflow_missing(options: Options, run_dir: Path, tracking_uri: str) -> list[str]:
    """A database outside the run's folder must be there if it has the run; one inside is filled again from the study."""
    state, file = run_folder.read_state(run_dir), file_of(tracking_uri)
    if options.tracking_uri is None or state is None or state.mlflow_run_id is None or file is None or file.is_file():
        return []
    return [f"MLflow's database {file} of this run does not exist; put it back, or start a new search"]
