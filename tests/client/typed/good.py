"""Code of a producer that type checkers accept."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from celery import Celery, chain

from photogpt_client import AsyncClient, Client, JobFailed, JobNotSucceeded, Outcome, as_completed, image, video
from photogpt_client import celery as signatures
from photogpt_client.webhooks import AsyncReceiver, AsyncRedisMemory, Receiver, RedisMemory, WebhookEvent


def send(client: Client) -> str:
    """Send one job of each kind."""
    job = client.image(
        modelID="nanobanana",
        prompt="Dawn",
        numImages=2,
        referenceImageURLs=["https://example.com/a.png"],
        options={"quality": "high"},
        webhook_url="https://example.com/hook",
        webhook_events=["job.succeeded"],
        metadata={"order": 17},
        deadline_s=600,
        not_before=datetime.now(UTC),
        idempotency_key="order-17",
        tenant="shop",
        id=uuid4(),
        extra={"newField": True},
    )
    client.upscale(imageID="img_1", delay_s=1.5)
    client.video(modelID="veo-3.1", prompt="Waves", options={"veo": {"duration": 8, "aspectRatio": "16:9"}})
    client.train(modelID="model_1")
    try:
        outcome: Outcome = job.result(timeout=60)
    except JobFailed as error:
        return error.outcome["reason"] or ""
    except JobNotSucceeded as error:
        return str(error.retryable)
    url: str = outcome["images"][0]["url"]
    return url if outcome["state"] == "succeeded" else str(outcome["polls"] + 1)


def send_many(client: Client) -> int:
    """Send a batch."""
    batch = client.submit_many(
        [image(modelID="nanobanana", prompt="Dawn"), video(modelID="veo-3.1", prompt="Waves")], batch_id="b1"
    )
    for job in as_completed(batch.jobs):
        for event in job.events():
            print(event.type, event.sequence + 1)  # noqa: T201 - a producer's code
    return batch.wait()["succeeded"] + sum(refusal.index for refusal in batch.refused)


async def send_async(client: AsyncClient) -> str | None:
    """Send and wait in an event loop."""
    job = await client.image(modelID="nanobanana", prompt="Dawn")
    async for event in job.events():
        print(event.timestamp)  # noqa: T201 - a producer's code
    async for ended in as_completed([job]):
        return (await ended)["error"]
    return None


def send_with_celery(app: Celery) -> None:
    """Send a chain."""
    chain(signatures.image(app, modelID="nanobanana", prompt="Dawn"), signatures.upscale(app)).apply_async()


def receive(body: bytes, headers: dict[str, str]) -> str:
    """Receive a webhook."""
    receiver = Receiver(["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"], memory=RedisMemory("redis://127.0.0.1"))
    event: WebhookEvent | None = receiver.receive(body, headers)
    with receiver.handling(body, headers) as handled:
        print(handled.is_late if handled else None)  # noqa: T201 - a producer's code
    return event.outcome["state"] if event else ""


async def receive_async(body: bytes, headers: dict[str, str]) -> str:
    """Receive a webhook in an event loop."""
    memory = AsyncRedisMemory("redis://127.0.0.1", prefix="shop")
    async with AsyncReceiver(["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"], memory=memory).handling(
        body, headers
    ) as event:
        return event.type if event else ""
