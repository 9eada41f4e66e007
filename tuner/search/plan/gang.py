"""What a trial asks of the cluster."""

from __future__ import annotations

from cluster.shape import PLACEMENTS, SPREAD, GangShape
from model.config import ConfigError, nearest
from tuner.config.options import Options
from tuner.space import Space


def shape_of(options: Options, space: Space, has_gpu: bool) -> GangShape:
    """What a trial asks for. Raises `ConfigError` when that cannot be."""

    def chosen(name: str, default: float) -> float:
        given = getattr(options, name)
        return float(given if given is not None else space.options.get(name, default))

    shape = GangShape(
        n_workers=int(chosen("workers_per_trial", 1)),
        cpus_per_worker=int(chosen("cpus_per_worker", 1)),
        gpus_per_worker=chosen("gpus_per_worker", 1.0 if has_gpu else 0.0),
        placement=options.placement,
    )
    _check_gpus(shape)
    return shape


def _check_gpus(shape: GangShape) -> None:
    gpus = shape.gpus_per_worker
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise ConfigError([f"--gpus-per-worker {gpus:g}: give 0, a fraction below 1, or a whole number"])
    if 0 < gpus < 1 and shape.n_workers > 1:
        raise ConfigError(
            [
                f"--gpus-per-worker {gpus:g} with {shape.n_workers} workers: NCCL does not let two ranks of a trial share a "
                "GPU; use --workers-per-trial 1, or whole GPUs"
            ]
        )


def check_placement(options: Options) -> None:
    if options.placement not in PLACEMENTS:
        given = f"--placement {options.placement}{nearest(options.placement, list(PLACEMENTS))}"
        raise ConfigError([f"{given}: choose one of {', '.join(PLACEMENTS)}"])
    if options.placement == SPREAD and options.storage_path is None:
        raise ConfigError(
            [
                "--placement spread leaves parts of a trial's checkpoints on several nodes; give --storage-path, a folder "
                "that all nodes share or a URL such as s3://bucket/folder"
            ]
        )
