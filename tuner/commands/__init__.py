"""The commands of `python -m tuner`, one file or package each."""
