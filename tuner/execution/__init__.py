"""Running trials: Ray Tune, the bridge to the study, gangs of ranks."""
