import { expect, it } from "vitest";
import { fault, oneLine, query, tail, TAIL_MAX, type Tailed } from "./model";

const event = (id: number): Tailed => ({ id: `evt_${id}`, name: "a", data: null, at: "" });

it("makes a request of a filter line", () => {
  expect(query('name:order.* since:1h "ord 1"', 3_600_000)).toEqual({ query: { names: "order.*", since: "1970-01-01T00:00:00.000Z", search: "ord 1" }, faults: [] });
  expect(query("colour:red", 0).faults).toHaveLength(1);
});

it("keeps the newest events and counts what it drops", () => {
  const many = Array.from({ length: TAIL_MAX + 7 }, (_, index) => event(index));
  const made = tail({ events: [], dropped: 0 }, many);
  expect([made.events.length, made.dropped, made.events[0]?.id]).toEqual([TAIL_MAX, 7, `evt_${TAIL_MAX + 6}`]);
});

it("shortens long data", () => {
  expect(oneLine({ a: 1 })).toBe('{"a":1}');
  expect(oneLine("x".repeat(400))).toHaveLength(301);
});

it("refuses a form without a name or JSON", () => {
  expect(fault("", "")).toContain("name");
  expect(fault("a", "{")).toContain("no JSON");
  expect(fault("a", "")).toBe("");
  expect(fault("a", " ")).toBe("");
});

it("does not send a number that it would change", () => {
  expect(fault("a", '{"id": 9007199254740991, "share": 0.1, "text": "9007199254740993"}')).toBe("");
  for (const number of ["9007199254740993", "-12345678901234567890", "1e999"]) expect(fault("a", `{"of": [${number}]}`)).toContain("cannot hold");
});
