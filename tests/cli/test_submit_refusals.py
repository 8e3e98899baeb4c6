"""What `photogpt-worker submit` refuses before anything is enqueued."""

from __future__ import annotations

import pytest
import redis

from tests.cli.conftest import Invoke


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["image"], "request.prompt"),
        (["upscale"], "request.imageID"),
        (["training"], "request.modelID"),
        (["image", "--prompt", "x", "--deadline", "-1"], "deadline_s"),
        (["image", "--prompt", "x", "--event", "job.dancing"], "webhook_events"),
        (["image", "--prompt", "x", "--webhook-url", "ftp://there"], "webhook_url"),
        (["image", "--prompt", "x", "--image", "i"], "--image means nothing for image"),
        (["upscale", "--image", "i", "--prompt", "x"], "--prompt means nothing for upscale"),
        (["training", "--model", "m", "--count", "2"], "--count means nothing for training"),
        (["image", "--request", "{"], "is not JSON"),
        (["image", "--request", "[]"], "must be a JSON object"),
        (["image", "--request", "@/nowhere"], "cannot read /nowhere"),
        (["dance"], "'dance' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_exit_code_2(argv: list[str], named: str, invoke: Invoke, client: redis.Redis) -> None:
    """What cannot become a job is refused by name, and nothing reaches the queue."""
    result = invoke("submit", *argv)
    assert result.exit_code == 2
    assert named in result.stderr
    assert client.keys("*") == []
