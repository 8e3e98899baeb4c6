"""Code of a producer with one mistake in each marked line, which type checkers refuse."""

from __future__ import annotations

from photogpt_client import AsyncClient, Client, image
from photogpt_client import celery as signatures
from photogpt_client.webhooks import AsyncReceiver, RedisMemory


def send(client: Client) -> None:
    """Send jobs with wrong arguments."""
    client.image(prompt="Dawn")  # type: ignore[call-arg]
    client.image(modelID=7, prompt="Dawn")  # type: ignore[arg-type]
    client.image(modelID="nanobanana", prompt="Dawn", numImages="2")  # type: ignore[arg-type]
    client.image(modelID="nanobanana", prompt="Dawn", priority=3)  # type: ignore[call-arg]
    client.image(modelID="nanobanana", prompt="Dawn", webhook_events=["job.done"])  # type: ignore[list-item]
    client.image(modelID="nanobanana", prompt="Dawn", metadata="order")  # type: ignore[arg-type]
    client.upscale(modelID="nanobanana")  # type: ignore[call-arg]
    client.video(modelID="veo-3.1")  # type: ignore[call-arg]
    client.video(modelID="veo-3.1", prompt="Waves", options={"veo": {"duration": 5}})  # type: ignore[typeddict-item]
    client.train(modelID="model_1", deadline_s="600")  # type: ignore[arg-type]
    client.job(17)  # type: ignore[arg-type]
    client.image(modelID="nanobanana", prompt="Dawn").wait()["stat"]  # type: ignore[typeddict-item]
    client.submit_many(["Dawn"])  # type: ignore[list-item]
    image(modelID="nanobanana", prompt=["Dawn"])  # type: ignore[arg-type]
    signatures.image(prompt=7)  # type: ignore[arg-type]


async def send_async(client: AsyncClient) -> None:
    """Forget to await, and send a wrong type."""
    client.image(modelID="nanobanana", prompt="Dawn").wait()  # type: ignore[attr-defined]
    AsyncClient(namespce="shop")  # type: ignore[call-arg]
    await client.upscale(imageID=7)  # type: ignore[arg-type]
    AsyncReceiver(["whsec_…"], memory=RedisMemory("redis://127.0.0.1"))  # type: ignore[arg-type]
