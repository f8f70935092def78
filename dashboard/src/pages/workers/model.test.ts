import { expect, it } from "vitest";
import { isSilent, load, unserved, type Worker } from "./model";

const WORKER = { id: "w1", function_ids: ["a"], active_jobs: 3, max_concurrent: 4, last_heartbeat: "1970-01-01T00:00:00Z" } as Worker;

it("calls a worker silent after two missing heartbeats", () => {
  expect([isSilent(WORKER, 60_000), isSilent(WORKER, 80_000)]).toEqual([false, true]);
});

it("shows how full a worker is", () => {
  expect(load(WORKER)).toBe(0.75);
  expect(load({ ...WORKER, max_concurrent: 0 })).toBe(1);
});

it("finds functions without a worker", () => {
  expect(unserved([{ id: "a" }, { id: "b" }, { id: "c", endpoint_url: "http://x" }] as never, [WORKER])).toEqual(["b"]);
});
