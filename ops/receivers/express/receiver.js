// Express: verify the raw bytes, take the event once, answer 204, work afterwards.
import express from "express";
import { Webhook } from "standardwebhooks";

const secrets = process.env.WEBHOOK_SECRETS.split(",").map((secret) => new Webhook(secret)); // two while you rotate
const seen = new Set(); // in your service: a table in your database, with the webhook-id as its primary key
const utf8 = new TextDecoder("utf-8", { fatal: true });

function verified(body, headers) {
  for (const webhook of secrets) {
    try {
      const event = webhook.verify(utf8.decode(body), headers);
      return event?.data ? event : null;
    } catch {
      // not this secret, an old time stamp, a malformed header, not UTF-8, not JSON
    }
  }
  return null;
}

function work(event) {
  console.log(event.type, event.data.id, event.data.state); // yours; after the answer, as long as it takes
}

const app = express();
// raw: what was parsed and written anew has another signature; no express.json() in front of it
app.post("/webhooks", express.raw({ type: () => true, limit: "1mb" }), (request, response) => {
  const event = verified(request.body, request.headers);
  if (event === null) return response.sendStatus(401);
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    setImmediate(work, event);
  }
  response.sendStatus(204);
});

app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening"));
