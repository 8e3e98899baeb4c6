"""An S3 server in a process of its own: `moto`, over real HTTP, with its objects in memory."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import requests

from tests.waiting import wait_until

BUCKET = "outputs"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class S3Server:
    """A server on a loopback port with one bucket. It can be stopped and started again, and is then empty."""

    def __init__(self) -> None:
        """Start the server."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start the server, and make the bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._makes_bucket, "the S3 server answers")

    def stop(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()

    @property
    def env(self) -> dict[str, str]:
        """What a worker needs to use it."""
        return {"PHOTOGPT_OUTPUTS": f"s3://{BUCKET}/kept", "AWS_ENDPOINT_URL": self.url, **CREDENTIALS}

    def objects(self) -> dict[str, bytes]:
        """Return every object by its key, without the prefix of the worker."""
        listed = self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {
            each["Key"].removeprefix("kept/"): self._client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
            for each in listed
        }

    def unfinished(self) -> int:
        """Return the number of multipart uploads that are neither complete nor aborted."""
        return len(self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    @property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 - slow to import

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )

    def _makes_bucket(self) -> bool:
        try:
            return requests.put(f"{self.url}/{BUCKET}", timeout=2).ok
        except requests.RequestException:
            return False
