"""An S3 server on this machine, with a bucket, that can be away for a while and comes back with what it had."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SECRET = "s3cr3t-that-must-not-be-seen"
BUCKET = "bucket"


class ObjectStore:
    """`url` is that of a bucket; the environment of this process and its children has the way there."""

    url = f"s3://{BUCKET}"

    def __init__(self) -> None:
        self._server: object = None
        self._port = 0

    def start(self) -> int:
        """Serve, on the same port as before. Returns it."""
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        server.start()
        self._server = server
        self._port = int(server.get_host_and_port()[1])
        return self._port

    def stop(self) -> None:
        """Be away: connections are refused."""
        self._server.stop()  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Have one empty bucket: servers of one process share what they hold."""
        import boto3

        reset = urllib.request.Request(f"http://127.0.0.1:{self._port}/moto-api/reset", method="POST")
        with urllib.request.urlopen(reset):
            pass
        boto3.client("s3").create_bucket(Bucket=BUCKET)

    def objects(self) -> list[str]:
        """All objects but the markers of folders."""
        import boto3

        client = boto3.client("s3")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [item["Key"] for page in pages for item in page.get("Contents", ()) if not item["Key"].endswith("/")]

    def change(self, key: str, content: bytes) -> None:
        """Write an object as somebody else would."""
        import boto3

        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)

    def remove(self, key: str) -> None:
        import boto3

        boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)


@contextmanager
def serving() -> Iterator[ObjectStore]:
    """A server with an empty bucket."""
    store = ObjectStore()
    with pytest.MonkeyPatch.context() as patch:
        port = store.start()
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store.reset()
        try:
            yield store
        finally:
            store.stop()
