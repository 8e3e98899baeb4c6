"""The path of one request: fault rules, API key, version and rate limit, then its operation, then the answer."""

import asyncio
import time
import traceback
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders

from worker.sandbox import control
from worker.sandbox.api import media, wire
from worker.sandbox.api.answers import Answer, Refusal, nok
from worker.sandbox.api.replies import Reply, faulty_reply, reply_to
from worker.sandbox.api.request import Request
from worker.sandbox.api.routes import OPERATIONS, route
from worker.sandbox.faults.actions import NO_FAULT, Action
from worker.sandbox.faults.rules import RequestFacts
from worker.sandbox.media.urls import PREFIX as MEDIA
from worker.sandbox.media.urls import MediaUrls
from worker.sandbox.sandbox import Sandbox


class Dispatcher:
    """Answers a request at once, or in an asyncio task if a fault applies to it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._tasks: set[asyncio.Task[None]] = set()

    def count_connection(self) -> None:
        """Count a new connection."""
        self._sandbox.counters.connections += 1

    def answer(self, connection: HTTP1Connection, method: str, target: str, headers: HTTPHeaders, body: bytes) -> None:
        """Answer one complete request on its connection."""
        path, _, query = target.partition("?")
        arguments = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        if path.startswith(control.PREFIX):
            answer = control.answer(self._sandbox, method, path, arguments, body)
            wire.send(connection, reply_to(answer, head_only=method == "HEAD"))
            return
        request = self._request(method, path, arguments, headers, body)
        self._sandbox.counters.requests[request.operation] += 1
        action = self._fault_for(request)
        if action is NO_FAULT:
            answer = self._work(request)
            self._count(request.operation, str(answer.code))
            self._send(connection, reply_to(answer, head_only=request.head_only))
        else:
            self._spawn(self._answer_with_fault(connection, request, action))

    def _request(self, method: str, path: str, arguments: dict[str, str], headers: HTTPHeaders, body: bytes) -> Request:
        now, options = time.time(), self._sandbox.options
        base = options.media_url or f"http://{headers.get('Host', 'localhost')}"
        found = media.route(method, path) if path.startswith(MEDIA) else (*route(method, path), "")
        operation, subject, part = found
        return Request(
            operation=operation,
            id=subject,
            part=part,
            head_only=method == "HEAD",
            query=arguments,
            headers=headers,
            body=body,
            now=now,
            media=MediaUrls(base, options.media_ttl_s, now),
        )

    def _send(self, connection: HTTP1Connection, reply: Reply) -> None:
        """Send at once what fits into memory, and the rest as the client reads it."""
        if reply.content.repeats:
            self._spawn(wire.send_streamed(connection, reply, NO_FAULT))
        else:
            wire.send(connection, reply)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fault_for(self, request: Request) -> Action:
        faults = self._sandbox.faults
        if not faults.active:
            return NO_FAULT
        age_s = self._sandbox.age_of(request.operation, request.id, request.now)
        return faults.apply(RequestFacts(request.operation, request.id, request.body, age_s))

    async def _answer_with_fault(self, connection: HTTP1Connection, request: Request, action: Action) -> None:
        """Wait, work and answer as the action says."""
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
        reply = faulty_reply(request, answer, time.time())
        self._count(request.operation, str(reply.code))
        await wire.send_streamed(connection, reply, action)

    def _count(self, operation: str, code: str) -> None:
        self._sandbox.counters.answers[operation][code] += 1

    def _work(self, request: Request) -> Answer:
        try:
            if request.operation.startswith("media"):
                return media.serve(self._sandbox, request)
            self._admit(request)
            operation = OPERATIONS.get(request.operation)
            if operation is None:
                raise Refusal(404, "No such endpoint.")
            return operation(self._sandbox, request)
        except Refusal as refusal:
            return refusal.answer
        except Exception as error:  # noqa: BLE001 - a bug of the sandbox is answered with 500 and does not stop it
            traceback.print_exc()
            return nok(500, "The sandbox itself failed.", repr(error))

    def _admit(self, request: Request) -> None:
        """Check key, version and rate, in this order."""
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
