import { expect, it } from "vitest";
import { actor, grounds, query, summary, type Entry } from "./model";

it("makes a request of a filter line", () => {
  expect(query("run:run_1 type:run.status_changed since:1h", 3_600_000)).toEqual({ query: { run_id: "run_1", event_type: "run.status_changed", from_timestamp: "1970-01-01T00:00:00.000Z" }, faults: [] });
  expect(query("colour:red text", 0).faults).toHaveLength(2);
});

it("shows what became of a run in a line", () => {
  expect(summary({ payload: { old_status: "running", new_status: "failed", error: { message: "no money" } } } as Entry)).toBe("running → failed: no money");
  expect(summary({ payload: { summary: "API key 'a': created" } } as Entry)).toBe("API key 'a': created");
  expect(summary({ payload: { step: 1 } } as Entry)).toBe('{"step":1}');
});

it("says who did it, and by which rule from where", () => {
  const entry = { payload: { rule: "role admin", address: "10.0.0.7", key: 7 }, metadata: { actor: "key:gateway" } } as unknown as Entry;
  expect([actor(entry), grounds(entry)]).toEqual(["key:gateway", "rule: role admin\naddress: 10.0.0.7"]);
  expect([actor({} as Entry), grounds({} as Entry)]).toEqual(["", ""]);
});
