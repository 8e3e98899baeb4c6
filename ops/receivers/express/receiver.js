// Express: verify the raw bytes, accept the event once, answer 204, process it afterwards.
import express from "express";
import { Webhook } from "standardwebhooks";

const secrets = process.env.WEBHOOK_SECRETS.split(",").map((secret) => new Webhook(secret)); // two during a rotation
const seen = new Set(); // in your service: a table in your database, with the webhook-id as its primary key
const utf8 = new TextDecoder("utf-8", { fatal: true });

function verified(body, headers) {
  for (const webhook of secrets) {
    try {
      const event = webhook.verify(utf8.decode(body), headers);
      return event?.data ? event : null;
    } catch {
      // another secret, an old timestamp, a malformed header, not UTF-8, not JSON
    }
  }
  return null;
}

function handle(event) {
  console.log(event.type, event.data.id, event.data.state); // your code; it runs after the answer and may take long
}

const app = express();
// raw: a serialized copy has another signature; do not put express.json() in front
app.post("/webhooks", express.raw({ type: () => true, limit: "1mb" }), (request, response) => {
  const event = verified(request.body, request.headers);
  if (event === null) return response.sendStatus(401);
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    setImmediate(handle, event);
  }
  response.sendStatus(204);
});

app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening"));
