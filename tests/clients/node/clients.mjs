// A client in JavaScript that knows the protocol and nothing else: plain fetch, and the WebSocket of Node.js 22 or,
// on an older one, the `ws` package. It checks what a zod schema checks: types, and no null where a field is optional.
//
//   node clients.mjs http://127.0.0.1:9123    runs every scenario, prints one line for each

const url = process.argv[2];
const rpc = (method) => `${url}/ironflow.v1.${method}`;
const NAP_MS = 200;

function expect(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(want)}`);
  }
}

async function send(method, address, body, status = 200) {
  const options = { method, headers: { "Content-Type": "application/json" } };
  if (body !== undefined) options.body = JSON.stringify(body);
  const answer = await fetch(address, options);
  const text = await answer.text();
  if (answer.status === 204) return null;
  if (status !== null && answer.status >= 300) throw new Error(`${method} ${address}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const post = (method, body) => send("POST", rpc(method), body);

// What an existing client requires of a run; the optional fields are absent, never null.
function checkRun(run) {
  for (const name of ["id", "functionId", "eventId", "status", "createdAt", "updatedAt"]) {
    if (typeof run[name] !== "string") throw new Error(`run.${name} is ${JSON.stringify(run[name])}, not a text`);
  }
  for (const name of ["attempt", "maxAttempts"]) {
    if (typeof run[name] !== "number") throw new Error(`run.${name} is ${JSON.stringify(run[name])}, not a number`);
  }
  for (const name of ["executionMode", "workerId", "actorId", "error", "startedAt", "endedAt"]) {
    if (run[name] === null) throw new Error(`run.${name} is null`);
  }
  if (run.status !== run.status.toLowerCase()) throw new Error(`the status is ${run.status}`);
  return run;
}

async function started(id) {
  const registered = await post("IronflowService/RegisterFunction", {
    id, name: id, triggers: [{ event: id }], preferredMode: "EXECUTION_MODE_PULL", recordingRetention: "7y",
  });
  if (typeof registered.created !== "boolean") throw new Error("created is no boolean");
  const triggered = await post("IronflowService/Trigger", { event: id, data: { total: 3 } });
  expect("the number of runs", triggered.runIds.length, 1);
  return triggered.runIds[0];
}

async function completed(id) {
  for (;;) {
    const run = checkRun(await post("IronflowService/GetRun", { id }));
    if (run.status === "completed") return run;
    if (run.status === "failed" || run.status === "cancelled") throw new Error(`the run is ${run.status}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

async function unary() {
  const id = await started("node-unary");
  expect("the status", checkRun(await post("IronflowService/GetRun", { id })).status, "pending");
  await post("IronflowService/PauseRun", { run_id: id });
  expect("the status after a pause", checkRun(await post("IronflowService/GetRun", { id })).status, "paused");
  const state = await post("IronflowService/GetPausedState", { run_id: id });
  expect("both spellings", state.pauseReason, state.pause_reason);
  const event = await send("POST", `${url}/api/v1/events`, { name: "node.unheard", data: [1, 2] });
  expect("the id of an event", event.id, event.event_id);
  const appended = await post("EntityStreamService/AppendEvent", {
    entityId: "node-1", entityType: "node", eventName: "node.appended", data: [1, 2], expectedVersion: -1,
  });
  expect("a 64-bit number", appended.entityVersion, "1");
  const read = await post("EntityStreamService/ReadStream", { entityId: "node-1" });
  expect("data that is no object", [read.events[0].data, read.events[0].dataValue], [[1, 2], [1, 2]]);
}

async function projection() {
  await post("ProjectionService/RegisterProjection", {
    name: "node-projection", events: ["node.counted"], mode: "managed", version: 1, partitionKey: "",
  });
  const state = await post("ProjectionService/GetProjection", { name: "node-projection", partition: "none yet" });
  expect("the state of a partition without one", [state.name, state.state], ["node-projection", undefined]);
  await post("IronflowService/Trigger", { event: "node.counted", data: "text" });
  const body = Buffer.from(JSON.stringify({ name: "node-projection", batchSize: 10, acceptHeartbeats: true }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const leaving = new AbortController();
  const answer = await fetch(rpc("ProjectionService/StreamProjectionEvents"), {
    method: "POST", headers: { "Content-Type": "application/connect+json" }, body: Buffer.concat([head, body]),
    signal: leaving.signal,
  });
  const reader = answer.body.getReader();
  let held = Buffer.alloc(0);
  while (held.length < 5 || held.length < 5 + held.readUInt32BE(1)) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended");
    held = Buffer.concat([held, Buffer.from(value)]);
  }
  const frame = JSON.parse(held.subarray(5, 5 + held.readUInt32BE(1)).toString());
  expect("the kind", frame.kind, "PROJECTION_EVENT_KIND_EVENT");
  expect("the data", [frame.data, frame.dataValue], ["text", "text"]);
  await post("ProjectionService/SaveProjectionState", {
    name: "node-projection", partitionKey: "", state: { count: 1 }, lastEventId: frame.id, lastEventSeq: frame.seq,
  });
  expect("the state", (await post("ProjectionService/GetProjection", { name: "node-projection" })).state, { count: 1 });
  leaving.abort();
}

// One step and a sleep, as a polling worker of runtime node.
async function pollingWorker() {
  const id = await started("node-polled");
  const worker = `${url}/api/v1/workers/node-polling`;
  await send("POST", `${worker}/register`, {
    worker_id: "node-polling", hostname: "h", function_ids: ["node-polled"], max_concurrent_jobs: 4, labels: {},
    version: { sdk: "0.0.1", runtime: `node-${process.version}` },
  });
  for (let executions = 0; executions < 2; ) {
    const batch = await send("GET", `${worker}/jobs?available=4`);
    for (const job of batch?.jobs ?? []) {
      executions += 1;
      const at = `${worker}/jobs/${job.job_id}`;
      const fence = { execution_seq: job.execution_seq, lease_token: job.lease_token };
      if (job.context === null || job.step_sequence_base === null) throw new Error("a field is null");
      await send("PUT", `${at}/ack`, { run_id: job.run_id, ...fence });
      const charge = `${job.run_id}:charge:0`;
      if (job.completed_steps.length === 0) {
        const step = { id: charge, name: "charge", type: "invoke", status: "completed", output: 3 };
        await send("PUT", at, { status: "progress", step_offset: 0, steps: [step], ...fence });
        const until = new Date(Date.now() + NAP_MS).toISOString();
        await send("PUT", at, { status: "yielded", yield: { type: "sleep", step_id: `${job.run_id}:nap:0`, until }, ...fence });
      } else {
        expect("the memo", [job.completed_steps[0].step_id, job.completed_steps[0].output], [charge, 3]);
        await send("PUT", at, { status: "completed", output: { charged: 3 }, ...fence });
      }
    }
    if (!batch) await new Promise((done) => setTimeout(done, 20));
  }
  expect("the output", (await completed(id)).output, { charged: 3 });
}

async function socketClass() {
  if (globalThis.WebSocket) return globalThis.WebSocket;
  const { createRequire } = await import("node:module");
  return createRequire(process.env.NODE_CLIENT_MODULES + "/")("ws");
}

async function firstFrame(address, sent) {
  const WebSocket = await socketClass();
  const socket = new WebSocket(address);
  try {
    return await new Promise((done, failed) => {
      socket.onopen = () => sent && socket.send(JSON.stringify(sent));
      socket.onmessage = (message) => done(JSON.parse(message.data));
      socket.onerror = () => failed(new Error(`the socket of ${address} failed`));
    });
  } finally {
    socket.close();
  }
}

async function sockets() {
  const at = url.replace("http", "ws");
  const result = await firstFrame(`${at}/ws`, { type: "subscribe", subscription: { pattern: "system.run.>.>" } });
  expect("the result", [result.type, result.results[0].pattern, result.results[0].status], ["subscription_result", "system.run.>.>", "ok"]);
  await send("POST", `${url}/api/v1/kv/buckets`, { name: "node" });
  await fetch(`${url}/api/v1/kv/buckets/node/keys/user.1`, { method: "PUT", body: "one" });
  const current = await firstFrame(`${at}/api/v1/kv/buckets/node/watch`);
  expect("the current value", [current.type, current.bucket, atob(current.value)], ["kv_update", "node", "one"]);
  const missing = await firstFrame(`${at}/api/v1/kv/buckets/none/watch`);
  expect("a missing bucket", [missing.type, missing.message.startsWith("bucket not found")], ["error", true]);
  await send("POST", `${url}/api/v1/config/node`, { a: 1 });
  const document = await firstFrame(`${at}/api/v1/config/node/watch`);
  expect("the current document", [document.type, document.data, typeof document.updatedAt], ["config_update", { a: 1 }, "string"]);
}

let failed = 0;
for (const scenario of [unary, projection, pollingWorker, sockets]) {
  try {
    await scenario();
    console.log(`${scenario.name}: ok`);
  } catch (fault) {
    failed = 1;
    console.log(`${scenario.name}: ${fault.stack}`);
  }
}
process.exit(failed);
