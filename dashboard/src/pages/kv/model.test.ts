import { expect, it } from "vitest";
import { changes, condition, decoded, retention, written, type Entry } from "./model";

const entry = (text: string, operation = "put") => ({ key: "k", value: btoa(text), revision: 1, operation, created_at: "" }) as Entry;

it("knows JSON, text and bytes", () => {
  expect(decoded(btoa('{"a":1}'))).toEqual({ kind: "json", text: '{\n  "a": 1\n}', json: { a: 1 }, bytes: 7 });
  expect(decoded(btoa("plain")).kind).toBe("text");
  expect(decoded(btoa("\xff\x00"))).toEqual({ kind: "binary", text: "ff 00", json: undefined, bytes: 2 });
});

it("compares revisions by structure, and texts whole", () => {
  expect(changes(entry('{"a":1}'), entry('{"a":2}'))).toEqual([{ path: "a", kind: "changed", before: 1, after: 2 }]);
  expect(changes(entry("x"), entry("y"))[0]).toMatchObject({ before: "x", after: "y" });
  expect(changes(undefined, entry("1"))[0]?.kind).toBe("added");
  expect(changes(entry("1"), entry("", "delete"))[0]?.kind).toBe("removed");
});

it("writes JSON short and text as it is", () => {
  expect([written('{ "a": 1 }'), written("plain {")]).toEqual(['{"a":1}', "plain {"]);
});

it("keeps a number that a browser would round", () => {
  const text = '{"id": 9007199254740993}';
  expect([decoded(btoa(text)).text, written(text)]).toEqual([text, text]);
  expect(changes(entry(text), entry('{"id": 9007199254740992}'))).toHaveLength(1);
});

it("replaces only what was read", () => {
  expect(condition(7)).toEqual({ "If-Match": "7" });
  expect(condition(undefined)).toEqual({ "If-None-Match": "*" });
});

it("shows what a bucket keeps", () => {
  expect(retention({ history: 10, ttl_seconds: 60 } as never)).toBe("10 revisions of a key, for 60 s");
  expect(retention({} as never)).toBe("the newest revision");
});
