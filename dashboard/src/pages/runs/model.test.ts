import { expect, it } from "vitest";
import { query, queued, rowOf, type Run } from "./model";

it("makes a request of a filter line", () => {
  expect(query('status:failed function:pay since:1h "card declined"', 7_200_000)).toEqual({
    query: { status: "failed", function_id: "pay", since: "1970-01-01T01:00:00.000Z", search: "card declined" },
    faults: [],
  });
});

it("asks for the text of an error, a key and a value in the output", () => {
  expect(query('error:"card declined" step:pay key:ord_1 output:order.total=1200', 0)).toEqual({
    query: { error: "card declined", failed_step: "pay", key: "ord_1", output: "order.total=1200" },
    faults: [],
  });
});

it("names what it does not understand", () => {
  expect(query("status:done colour:red since:soon output:total", 0).faults).toHaveLength(4);
});

it("names who has paused a run, and why", () => {
  const paused = (more: Partial<Run>) => rowOf({ id: "r", function_id: "f", status: "paused", pause_reason: "injection", created_at: "", ...more } as Run).note;
  expect(paused({ paused_by: "bulk job bulk_1", pause_note: "the bank is closed" })).toBe("paused by bulk job bulk_1: the bank is closed");
  expect(paused({})).toBe("paused by hand");
});

it("shows why a run is queued", () => {
  const run = (id: string, status: string) => ({ id, function_id: "f", status, pause_reason: "", state: status, created_at: "" }) as Run;
  expect(queued([run("a", "pending"), run("b", "running")])).toEqual(["a"]);
  expect(rowOf(run("a", "pending"), "No live worker serves function 'f'.").note).toContain("No live worker");
  expect(rowOf(run("a", "pending")).note).toBe("");
});
