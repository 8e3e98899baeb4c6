"""Flask: verify the raw bytes, store the event once, answer 204, process it afterwards."""

import logging
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger("receiver")
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1_000_000
secrets = [Webhook(secret) for secret in os.environ["WEBHOOK_SECRETS"].split(",")]  # old and new during a rotation
inbox = sqlite3.connect(
    os.environ.get("INBOX", "inbox.db"), isolation_level=None, check_same_thread=False
)  # in your service: a table in your database
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


@app.post("/webhooks")
def receive() -> tuple[str, int]:
    body = request.get_data()  # raw: a serialized copy has another signature
    event = verified(body, dict(request.headers))
    if event is None:
        return "", 401
    row = (request.headers["webhook-id"], body.decode())
    if inbox.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", row).rowcount:  # 0: a duplicate
        workers.submit(handle, event)
    return "", 204
