"""CFIMDB: long movie reviews, negative or positive, the human-revised half of Kaushik et al. 2020."""

from model.tasks.task import HubSource, Task

CFIMDB = Task(
    name="cfimdb",
    kind="classification",
    text_columns=("sentence",),
    label_column="sentiment",
    label_range=(0, 1),
    train_file="ids-cfimdb-train.csv",
    dev_file="ids-cfimdb-dev.csv",
    hub=HubSource("stanfordnlp/imdb", None, ("text",), "label", ("train", "test")),
    label_names=("negative", "positive"),
)
