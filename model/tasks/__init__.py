"""The tasks a mixture can draw on."""

from model.tasks.cfimdb import CFIMDB
from model.tasks.quora import QUORA
from model.tasks.sst import SST
from model.tasks.sts import STS
from model.tasks.task import HubSource, Task

TASKS: dict[str, Task] = {task.name: task for task in (SST, QUORA, STS, CFIMDB)}

__all__ = ["TASKS", "HubSource", "Task"]
