"""A store of MLflow's as the queue of writes sees it: connected to late, its errors sorted."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from tuner.artifacts.addresses import mask_credentials
from tuner.artifacts.write_queue import Trouble

if TYPE_CHECKING:
    from mlflow import MlflowClient

REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST")
"""MLflow's error codes that trying again cannot mend."""
WARNING = ("mlflow", "alembic", "sqlalchemy", "pydantic", "google", "tuner\\.tracking")
"""Modules whose warnings, of their own deprecations, are not for the user."""
HTTP_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the queue tries again; the default, 7 with waits, would hold the search up
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowStore:
    """One MLflow store as the queue sees it: connected to when first written to, its errors sorted into those that pass and
    those that do not. MLflow and its database layer warn of their own deprecations, which do not concern the user.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._client: MlflowClient | None = None

    def attempt(self, write: Callable[[MlflowClient], None]) -> Trouble | None:
        """Do a write. None when it is done, else what went wrong and whether trying again can mend it."""
        # Not within `catch_warnings`, which is the whole process's and would be left in another thread's order.
        for module in WARNING:
            warnings.filterwarnings("ignore", module=module)
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._client = self._client or connect(self._uri)
            write(self._client)
        except MlflowException as error:
            return Trouble(mask_credentials(str(error)), passes=error.error_code not in REFUSALS)
        except (SQLAlchemyError, OSError) as error:
            return Trouble(mask_credentials(str(error)), passes=True)
        except Exception as error:  # an artifact store's own library (S3, GCS) raises what it likes
            return Trouble(mask_credentials(f"{type(error).__name__}: {error}"), passes=False)
        return None


def connect(tracking_uri: str) -> MlflowClient:
    """A client that gives up soon and says nothing. The user's own MLFLOW_* settings have precedence.

    Raises SQLAlchemyError at once where a database does not take it: MLflow itself would try for an hour.
    """
    for name, value in HTTP_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from sqlalchemy import create_engine

    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # what goes wrong is told by the queue, in a sentence
    if not tracking_uri.startswith(("http", "sqlite", "databricks")):
        engine = create_engine(tracking_uri)
        engine.connect().close()
        engine.dispose()
    return MlflowClient(tracking_uri=tracking_uri)
