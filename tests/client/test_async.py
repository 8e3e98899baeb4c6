"""The client for asyncio, with a real worker; and waits that survive an outage of Redis."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import aclosing
from typing import Any

import pytest
import redis

from photogpt_client import AsyncClient, Client, Event, JobGone, WaitTimeout, as_completed, image
from tests.client.conftest import LONELY
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey

QUICK = {"sandbox": {"duration_s": 0.3}}
JOBS = 1000


def test_jobs_are_awaited(valkey: EmbeddedValkey, worker: WorkerProcess) -> None:
    """Jobs and batches are awaited, events are iterated, and several jobs are taken as they end."""

    async def produce() -> None:
        async with AsyncClient(valkey.url) as client:
            job = await client.image(modelID="nanobanana", prompt="Dawn", extra=QUICK)
            types = [event.type async for event in job.events(timeout=30)]
            assert (types[0], types[-1]) == ("job.queued", "job.succeeded")
            assert (await job)["state"] == (await job.outcome())["state"] == "succeeded"
            later = await client.upscale(imageID="img_1", delay_s=900)
            with pytest.raises(WaitTimeout):
                await later.wait(timeout=0.3)
            await later.cancel()
            ended = [each.id async for each in as_completed([later, client.job("unknown")], timeout=30)]
            assert sorted(ended) == sorted(["unknown", later.id])
            assert (await later)["state"] == "canceled"
            batch = await client.submit_many(image(modelID="nanobanana", prompt=text, extra=QUICK) for text in "abc")
            assert (await batch)["succeeded"] == 3
            with pytest.raises(JobGone):
                await client.job("unknown")

    asyncio.run(produce())


def test_a_thousand_awaited_jobs_hold_few_connections(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    """While 1,000 jobs are awaited, their client holds at most three connections, and each gets its own outcome."""

    async def produce() -> None:
        async with AsyncClient(valkey.url, namespace=LONELY) as producer:
            batch = await producer.submit_many(image(modelID="nanobanana", prompt="Dawn") for _ in range(JOBS))
            waits = [asyncio.create_task(job.wait(timeout=60)) for job in batch.jobs]
            pipeline = client.pipeline(transaction=False)
            for number, job in enumerate(batch.jobs):
                end(pipeline, job.id, number)
            await asyncio.sleep(0)  # the waits begin
            held = [each for each in client.client_list() if each["name"] == "photogpt-client"]
            assert 1 <= len(held) <= 3
            await asyncio.to_thread(pipeline.execute)
            outcomes = await asyncio.gather(*waits)
            assert [outcome["polls"] for outcome in outcomes] == list(range(JOBS))
            assert len([each for each in client.client_list() if each["name"] == "photogpt-client"]) <= 3

    asyncio.run(produce())


def end(pipeline: redis.client.Pipeline, job_id: str, polls: int) -> None:
    """Write the end of a job as a worker does."""
    data = f'{{"id":"{job_id}","state":"succeeded","polls":{polls}}}'
    fields: Any = {"type": "job.succeeded", "sequence": "4", "timestamp": "2026-11-28T18:20:09.000Z", "data": data}
    pipeline.xadd(f"{LONELY}:job:{{{job_id}}}:events", fields)


def test_a_wait_survives_an_outage(own_valkey: EmbeddedValkey) -> None:
    """Redis is killed and started again between two events: the reader gets both, none twice, and then the outcome."""
    seen: list[Event] = []
    with Client(own_valkey.url, namespace=LONELY) as producer, redis.Redis.from_url(own_valkey.url) as server:
        job = producer.image(modelID="nanobanana", prompt="Dawn")
        stream = f"{LONELY}:job:{{{job.id}}}:events"
        reader = threading.Thread(target=lambda: seen.extend(job.events(timeout=60)), daemon=True)
        following = job.events(timeout=60)
        reader.start()
        server.xadd(stream, {"type": "job.queued", "sequence": "1", "timestamp": "2026-11-28T18:20:00.000Z"})
        assert next(following).type == "job.queued"
        own_valkey.stop()
        own_valkey.start()
        wait_until(lambda: answers(server), "Redis answers again")
        pipeline = server.pipeline()
        end(pipeline, job.id, 2)
        pipeline.execute()
        assert [event.type for event in following] == ["job.succeeded"]
        reader.join(30)
        assert [event.type for event in seen] == ["job.queued", "job.succeeded"]
        assert job.wait()["polls"] == 2


PREFORK = """
import asyncio, os, signal, sys, threading
from photogpt_client import AsyncClient, Client

threads, loops, job = Client(sys.argv[1]), AsyncClient(sys.argv[1]), {"modelID": "nanobanana", "prompt": "Dawn"}
quick = {**job, "extra": {"sandbox": {"duration_s": 0.1}}}

async def send():
    return (await (await loops.image(**quick)))["state"]

def use():
    return [threads.image(**quick).wait(timeout=30)["state"], asyncio.run(send())]

waiting = threads.image(**job, delay_s=900)
threading.Thread(target=lambda: waiting.wait(timeout=60), daemon=True).start()
assert use() == ["succeeded"] * 2
signal.alarm(60)
child = os.fork()
if not child:
    signal.alarm(30)
    found = use()
    threads.close()
    os._exit(0 if found == ["succeeded"] * 2 else 1)
found = use()  # at the same time, and in another event loop than before
assert found == ["succeeded"] * 2 and os.waitpid(child, 0)[1] == 0
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    waiting.wait()
except KeyboardInterrupt:
    waiting.cancel()
print(waiting.wait(timeout=30)["state"])
"""


def test_a_client_survives_a_fork_and_an_interrupt(valkey: EmbeddedValkey, worker: WorkerProcess) -> None:
    """Clients that were used before a fork, as with gunicorn's preload, work in both processes and after Ctrl+C."""
    command = [sys.executable, "-W", "ignore", "-c", PREFORK, valkey.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "canceled\n"), done.stderr


def test_a_wait_that_is_given_up_leaves_nothing(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    """A canceled task, asyncio's own timeout and a loop that is left leave no subscription; the job can be awaited."""

    async def give_up(producer: AsyncClient) -> None:
        job = await producer.image(modelID="nanobanana", prompt="Dawn")
        task = asyncio.create_task(job.wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await job
        pipeline = client.pipeline()
        pipeline.xadd(f"{LONELY}:job:{{{job.id}}}:events", {"type": "job.queued", "sequence": "1"})
        end(pipeline, job.id, 1)
        await asyncio.to_thread(pipeline.execute)
        async with aclosing(job.events()) as events:
            assert (await anext(events)).type == "job.queued"
        assert not producer.threads.follower._subscriptions
        assert (await job)["polls"] == 1

    async def produce() -> None:
        async with AsyncClient(valkey.url, namespace=LONELY) as producer:
            await give_up(producer)

    asyncio.run(produce())


def answers(server: redis.Redis) -> bool:
    """Return whether a server answers."""
    try:
        return bool(server.ping())
    except redis.RedisError:
        return False
