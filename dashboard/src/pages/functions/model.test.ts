import { expect, it } from "vitest";
import { endpointFault, limits, registration, servedBy, testEvent, triggers, type Fn } from "./model";

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
