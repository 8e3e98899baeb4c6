"""The path of one request: through faults, key, version and rate to its operation, and back."""

import asyncio
import time
import traceback
from dataclasses import replace
from urllib.parse import parse_qsl

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders

from worker.sandbox import control, wire
from worker.sandbox.answers import Answer, Refusal, nok
from worker.sandbox.faults import CALM, Action, Incident
from worker.sandbox.replies import reply_to, spoilt_reply
from worker.sandbox.routes import OPERATIONS, route
from worker.sandbox.sandbox import Request, Sandbox


class Service:
    """Answers requests; a calm one at once, one that a fault befalls in a task of its own."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._tasks: set[asyncio.Task[None]] = set()

    def accepted(self) -> None:
        """A connection was opened."""
        self._sandbox.counters.connections += 1

    def answer(self, connection: HTTP1Connection, method: str, target: str, headers: HTTPHeaders, body: bytes) -> None:
        """Answers one whole request on its connection."""
        path, _, query = target.partition("?")
        arguments = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        if path.startswith(control.PREFIX):
            wire.send(connection, reply_to(control.answer(self._sandbox, method, path, arguments, body)))
            return
        operation, subject = route(method, path)
        request = Request(operation=operation, id=subject, query=arguments, headers=headers, body=body, now=time.time())
        self._sandbox.counters.requests[operation] += 1
        action = self._befalling(request)
        if action is CALM:
            answer = self._work(request)
            self._count(operation, str(answer.code))
            wire.send(connection, reply_to(answer))
        else:
            task = asyncio.get_running_loop().create_task(self._go_wrong(connection, request, action))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _befalling(self, request: Request) -> Action:
        faults = self._sandbox.faults
        if not faults.live:
            return CALM
        age_s = self._sandbox.age_of(request.operation, request.id, request.now)
        return faults.befalls(Incident(request.operation, request.id, request.body, age_s))

    async def _go_wrong(self, connection: HTTP1Connection, request: Request, action: Action) -> None:
        """Does the work or not, then waits, then answers wrongly or not at all, as the action says."""
        if action.latency_before:
            await asyncio.sleep(action.latency_before)
        request = replace(request, action=action, now=time.time())
        answer = self._work(request) if action.works else None
        if action.latency:
            await asyncio.sleep(action.latency)
        if action.drop or action.drop_after:
            self._count(request.operation, "dropped")
            connection.close()
            return
        reply = spoilt_reply(request.operation, answer, action, time.time())
        self._count(request.operation, str(reply.code))
        await wire.send_spoilt(connection, reply, action)

    def _count(self, operation: str, code: str) -> None:
        self._sandbox.counters.answers[operation][code] += 1

    def _work(self, request: Request) -> Answer:
        try:
            self._admit(request)
            operation = OPERATIONS.get(request.operation)
            if operation is None:
                raise Refusal(404, "No such endpoint.")
            return operation(self._sandbox, request)
        except Refusal as refusal:
            return refusal.answer
        except Exception as error:  # noqa: BLE001 - a bug of the sandbox is told, and does not stop it
            traceback.print_exc()
            return nok(500, "The sandbox itself failed.", repr(error))

    def _admit(self, request: Request) -> None:
        """Checks key, version and rate, in this order."""
        sandbox = self._sandbox
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or key not in sandbox.keys:
            sandbox.counters.auth_failures += 1
            raise Refusal(401, "Unauthorized.", "missing or wrong API key")
        if request.headers.get("API-Version") != "1":
            raise Refusal(400, "Missing or unknown API version.", "header API-Version must be 1")
        if sandbox.bucket is not None and not sandbox.bucket.take(request.now):
            sandbox.counters.rate_limited += 1
            raise Refusal(429, "Too many requests.", "rate limit", retry_after=sandbox.options.retry_after)
