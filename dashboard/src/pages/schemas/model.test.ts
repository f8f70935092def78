import { expect, it } from "vitest";
import { chosen, fields, grouped, type Schema } from "./model";

const schema = (event_name: string, version: number) => ({ event_name, version }) as Schema;

it("groups versions by event, newest first", () => {
  expect(grouped([schema("b", 1), schema("a", 1), schema("a", 2)])).toEqual([
    { event: "a", versions: [schema("a", 2), schema("a", 1)] }, { event: "b", versions: [schema("b", 1)] },
  ]);
});

it("names fields and those that may be missing", () => {
  expect(fields({ required: ["customer"], properties: { customer: {}, total: {} } })).toBe("customer, total?");
  expect(fields(true)).toBe("");
});

it("compares with the next older version", () => {
  const versions = [schema("a", 3), schema("a", 2), schema("a", 1)];
  expect(chosen(versions, null, null)).toEqual({ shown: versions[0], before: versions[1] });
  expect(chosen(versions, "3", "1").before).toBe(versions[2]);
  expect(chosen(versions, "1", null).before).toBeUndefined();
});
