"""Quora question pairs: do two questions ask the same?"""

from model.tasks.task import HubSource, Task

QUORA = Task(
    name="quora",
    kind="classification",
    text_columns=("sentence1", "sentence2"),
    label_column="is_duplicate",
    label_range=(0, 1),
    train_file="quora-train.csv",
    dev_file="quora-dev.csv",
    hub=HubSource("nyu-mll/glue", "qqp", ("question1", "question2"), "label", ("train", "validation"), "idx"),
    label_names=("different", "duplicate"),
)
