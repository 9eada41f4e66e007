"""Stanford Sentiment Treebank: one sentence, five grades of sentiment."""

from model.tasks.task import HubSource, Task

SST = Task(
    name="sst",
    kind="classification",
    text_columns=("sentence",),
    label_column="sentiment",
    label_range=(0, 4),
    train_file="ids-sst-train.csv",
    dev_file="ids-sst-dev.csv",
    hub=HubSource("SetFit/sst5", None, ("text",), "label", ("train", "validation")),
    label_names=("very negative", "negative", "neutral", "positive", "very positive"),
)
