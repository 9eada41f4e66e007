"""SemEval STS Benchmark: how similar are two sentences, from 0 to 5?"""

from model.tasks.task import HubSource, Task

STS = Task(
    name="sts",
    kind="regression",
    text_columns=("sentence1", "sentence2"),
    label_column="similarity",
    label_range=(0, 5),
    train_file="sts-train.csv",
    dev_file="sts-dev.csv",
    hub=HubSource("nyu-mll/glue", "stsb", ("sentence1", "sentence2"), "label", ("train", "validation"), "idx"),
)
