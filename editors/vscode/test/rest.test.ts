import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { addressOf, dashboardAddress, Failure, functionsRequest, invoke, invokeRequest, listRuns, runsRequest, type Server } from "../src/rest";

const SERVER: Server = { url: "http://localhost:9123/", environment: "", apiKey: "" };

test("a list has a limit, and runs are those of a function if one is named", () => {
  assert.equal(functionsRequest(SERVER, 200).url, "http://localhost:9123/api/v1/functions?limit=200");
  assert.equal(runsRequest(SERVER, 20).url, "http://localhost:9123/api/v1/runs?limit=20");
  assert.equal(runsRequest(SERVER, 20, "a b").url, "http://localhost:9123/api/v1/runs?function_id=a+b&limit=20");
});

test("key and environment are sent when there are any", () => {
  assert.deepEqual(functionsRequest(SERVER, 1).headers, { "X-Ironflow-SDK": "vscode" });
  assert.deepEqual(functionsRequest({ ...SERVER, environment: "staging", apiKey: "k" }, 1).headers, {
    "X-Ironflow-SDK": "vscode", "X-Ironflow-Environment": "staging", Authorization: "Bearer k",
  });
});

test("an id is one part of the path", () => {
  const { url, method, body } = invokeRequest(SERVER, "a/b?c", { x: null });
  assert.deepEqual({ url, method, body }, {
    url: "http://localhost:9123/api/v1/functions/a%2Fb%3Fc/invoke", method: "POST", body: '{"data":{"x":null}}',
  });
  assert.equal(dashboardAddress({ url: "https://example.com/flow" }, "run_1"), "https://example.com/flow/runs/run_1");
});

for (const url of ["", "localhost:9123", "file:/etc", "http://"]) {
  test(`"${url}" is refused as the address of a server`, () => assert.throws(() => addressOf({ url }, []), Failure));
}

/** What `act` does with a server that gives one answer. */
async function answered(status: number, body: string, act: (server: Server) => Promise<unknown>): Promise<unknown> {
  const http = createServer((_, response) => response.writeHead(status).end(body));
  await new Promise<void>((ready) => http.listen(0, "127.0.0.1", ready));
  try {
    return await act({ ...SERVER, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` });
  } finally {
    http.closeAllConnections();
    http.close();
  }
}

test("an answer is read", async () => {
  assert.deepEqual(await answered(200, '{"runs":[],"total_count":7}', (server) => listRuns(server, 1)), { items: [], total: 7 });
  assert.equal(await answered(200, '{"run_id":"run_1","event_id":"e"}', (server) => invoke(server, "f", 1)), "run_1");
});

test("a refusal has the server's message, and a missing key what to do", async () => {
  const refused = (status: number, body: string) => answered(status, body, (server) => listRuns(server, 1));
  await assert.rejects(refused(404, '{"message":"There is no function."}'), new Failure(404, "There is no function."));
  await assert.rejects(refused(401, '{"error":"No key."}'), { status: 401, message: 'No key. Store a key with "Ironflow: Set API Key".' });
  await assert.rejects(refused(502, "<html>"), { status: 502, message: "The server refused with status 502." });
  await assert.rejects(refused(200, "<html>"), /is not an Ironflow server/);
});

test("a server that does not answer is named", async () => {
  let closed = SERVER;
  await answered(200, "{}", async (server) => (closed = server));
  await assert.rejects(listRuns(closed, 1), { status: 0, message: `${closed.url} does not answer.` });
});
