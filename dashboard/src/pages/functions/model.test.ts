import { expect, it } from "vitest";
import { compared, endpointFault, type Fn, laneName, laneText, limits, registration, servedBy, testEvent, triggers, workersOf } from "./model";

it("names what starts a function", () => {
  const fn = { triggers: [{ event: "order.placed", expression: "data.total > 5", cron: "" }, { cron: "0 * * * *", timezone: "UTC", event: "" }] } as unknown as Fn;
  expect(triggers(fn)).toEqual(["order.placed when data.total > 5", "cron 0 * * * * (UTC)"]);
});

it("names limits that are set", () => {
  const fn = { retry: { max_attempts: 5, on_exhausted: "pause" }, concurrency: { limit: 2, key: "data.customer" }, timeout_ms: 0 } as Fn;
  expect(limits(fn)).toEqual([["attempts", "5, then pause"], ["concurrency", "2 by data.customer"]]);
});

it("finds the workers of a function", () => {
  expect(servedBy("a", [{ id: "w1", function_ids: ["a"] }, { id: "w2", function_ids: ["b"] }] as never).map((worker) => worker.id)).toEqual(["w1"]);
});

it("takes http addresses as endpoints", () => {
  expect(["", "https://shop.example/ironflow", "http://127.0.0.1:8000"].map(endpointFault)).toEqual(["", "", ""]);
  expect(endpointFault("shop.example")).toContain("http or https");
  expect(endpointFault("ftp://shop.example")).toContain("http or https");
});

it("registers a push function with or without an event", () => {
  expect(registration(" a ", "https://x.example", " o.p ", 2)).toEqual({
    id: "a", endpoint_url: "https://x.example", preferred_mode: "push", triggers: [{ event: "o.p" }], retry: { max_attempts: 2 },
  });
  expect(registration("a", "https://x.example", "", 1).triggers).toEqual([]);
});

it("finds an event that a test can emit", () => {
  expect(testEvent({ triggers: [{ event: "", cron: "0 * * * *" }, { event: "order.*" }, { event: "order.placed" }] } as never)).toBe("order.placed");
  expect(testEvent({ triggers: [{ event: "order.*" }] } as never)).toBeUndefined();
});

const registered = [3, 2, 1].map((version) => ({ version, config: {}, code_hash: "", reason: "", actor: "", recorded_at: "", runs: 0 }));

it("compares the newest version with the one before it, unless the address names others", () => {
  const versions = (version: string | null, other: string | null) => {
    const { shown, before } = compared(registered, version, other);
    return [shown?.version, before?.version];
  };
  expect([versions(null, null), versions("2", null), versions("3", "1"), versions("1", null), versions("2", "2")]).toEqual([[3, 2], [2, 1], [3, 1], [1, undefined], [2, 1]]);
});

it("says who serves a version of code, and what needs it", () => {
  expect(workersOf({ version: "b", first_seen_at: null, workers: 2, runs: 1, newest: true, may_go: false })).toBe("2 workers, 1 run pinned to it");
  expect(workersOf({ version: "a", first_seen_at: null, workers: 0, runs: 0, newest: false, may_go: true })).toBe("no worker");
});

it("names lanes and says who holds and who waits", () => {
  const lane = { kind: "key", scope: "", key: "", limit: 2, held: 2, waiting: 1, holders: [], next: [] };
  expect([lane, { ...lane, key: "acme" }, { ...lane, kind: "actor", key: "ada" }, { ...lane, kind: "scope", scope: "bank", key: "x" }].map(laneName)).toEqual(["all runs", "acme", "actor ada", "shared limit bank, x"]);
  expect([laneText(lane), laneText({ ...lane, limit: 0, waiting: 0 })]).toEqual(["2 of 2 held, 1 waits", "2 held"]);
});
