import { expect, it } from "vitest";
import { checkedText, chosen, fields, grouped, type Schema } from "./model";

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

it("says how past events fit", () => {
  const checked = { checked: 3, fit: 3, departures: [], more: false };
  expect([checked, { ...checked, fit: 1 }, { ...checked, more: true }, { ...checked, checked: 0, fit: 0 }].map((each) => checkedText(each))).toEqual([
    "All of 3 events fit.", "2 of 3 events do not fit.", "All of the newest 3 events fit.", "No event of this name is recorded.",
  ]);
  const none = { ...checked, checked: 0, fit: 0 };
  expect([checkedText(none, 2), checkedText({ ...none, more: true }, 2)]).toEqual(["No event of this name and version 2 is recorded.", "None of the newest events of this name is of version 2."]);
});
