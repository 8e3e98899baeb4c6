"""Django in one file: verify the raw bytes, store the event once, answer 204, process it afterwards."""

import logging
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks import Webhook, WebhookVerificationError

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger("receiver")
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
secrets = [Webhook(secret) for secret in os.environ["WEBHOOK_SECRETS"].split(",")]  # old and new during a rotation
inbox = sqlite3.connect(
    os.environ.get("INBOX", "inbox.db"), isolation_level=None, check_same_thread=False
)  # in your service: a model
inbox.execute("CREATE TABLE IF NOT EXISTS events (webhook_id TEXT PRIMARY KEY, body TEXT)")
workers = ThreadPoolExecutor(4)  # in your service: your task queue


def verified(body: bytes, headers: dict[str, str]) -> dict | None:
    for webhook in secrets:
        try:
            event = webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError):  # ValueError: a malformed header, not UTF-8, not JSON
            continue
        return event if isinstance(event, dict) else None
    return None


def handle(event: dict) -> None:  # your code; it runs after the answer and may take long
    log.info("%s %s %s", event["type"], event["data"]["id"], event["data"]["state"])


@csrf_exempt  # the signature authenticates the request
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    event = verified(request.body, dict(request.headers))  # raw: a serialized copy has another signature
    if event is None:
        return HttpResponse(status=401)
    row = (request.headers["webhook-id"], request.body.decode())
    if inbox.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", row).rowcount:  # 0: a duplicate
        workers.submit(handle, event)
    return HttpResponse(status=204)


urlpatterns = [path("webhooks", receive)]

if __name__ == "__main__":
    execute_from_command_line()
