// Send an image job, follow its events, and print its outcome.
// REDIS_URL=redis://127.0.0.1:6379/0 node send.mjs '{"modelID": "nanobanana", "prompt": "A quiet harbour at dawn"}'
// It needs no package, so it speaks Redis' protocol itself. With a client, `redis(…)` is xAdd, xRead and hGet.
import { randomUUID } from "node:crypto";
import { connect } from "node:net";

const url = new URL(process.env.REDIS_URL ?? "redis://127.0.0.1:6379/0");
const names = process.env.PHOTOGPT_NAMESPACE ?? "photogpt";
const socket = connect(Number(url.port || 6379), url.hostname);
const waiting = [];
let received = Buffer.alloc(0);

socket.on("data", (chunk) => {
  received = Buffer.concat([received, chunk]);
  for (let reply; waiting.length && (reply = parse(0)); received = received.subarray(reply.end)) {
    const { resolve, reject } = waiting.shift();
    reply.value instanceof Error ? reject(reply.value) : resolve(reply.value);
  }
});

// Return the reply that begins at a byte, and the byte after it; nothing while it is incomplete.
function parse(at) {
  const eol = received.indexOf("\r\n", at);
  if (eol < 0) return;
  const [type, text] = [received.toString("latin1", at, at + 1), received.toString("utf8", at + 1, eol)];
  let end = eol + 2;
  if (type === "-") return { value: new Error(text), end };
  if (type === "+" || type === ":" || text === "-1") return { value: text === "-1" ? null : text, end };
  if (type === "$") {
    const value = received.toString("utf8", end, end + Number(text));
    return received.length < end + Number(text) + 2 ? undefined : { value, end: end + Number(text) + 2 };
  }
  const value = [];
  for (let left = Number(text), item; left > 0; left--, value.push(item.value), end = item.end) {
    if (!(item = parse(end))) return;
  }
  return { value, end };
}
function redis(...words) {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  socket.write(`*${words.length}\r\n${parts.join("")}`);
  return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
}

if (url.password) await redis("AUTH", decodeURIComponent(url.username || "default"), decodeURIComponent(url.password));
await redis("SELECT", url.pathname.slice(1) || "0");
const id = randomUUID(); // append the same entry again if the answer is lost: one id is one job
const job = JSON.stringify({ v: 1, id, kind: "image", request: JSON.parse(process.argv[2]) });
await redis("XADD", `${names}:inbox`, "*", "job", job);
for (let last = "0-0", data; !data; ) {
  const read = await redis("XREAD", "BLOCK", "2000", "STREAMS", `${names}:job:{${id}}:events`, last);
  for (const [entry, fields] of read?.[0][1] ?? []) {
    last = entry;
    console.log(fields[fields.indexOf("type") + 1]);
    if (fields.includes("data")) data = fields[fields.indexOf("data") + 1];
  }
  if (data) console.log(`record: ${await redis("HGET", `${names}:job:{${id}}`, "state")}\n${data}`);
}
socket.end();
