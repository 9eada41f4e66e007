"""The search: one Optuna study, run by Ray Tune, tracked in MLflow. `python -m tuner.search --help`."""
