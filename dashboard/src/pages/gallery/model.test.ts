import { expect, it } from "vitest";
import { bars, FORM, PROBE, samples, STATUSES } from "./model";
import { look } from "../../parts/status";

it("has a status of every look, and one that is not known", () => {
  expect(new Set(STATUSES.map((each) => look(each).colour)).size).toBe(6);
  expect(look(STATUSES.at(-1)!).label).toBe("a status of a newer server");
});

it("has a form with a field of every kind", () => {
  expect(new Set([FORM, ...FORM.fields].map((each) => each.kind))).toEqual(new Set(["object", "text", "integer", "boolean", "choice", "date", "moment", "array", "json"]));
});

it("has rows with an error, without one and with markup", () => {
  expect(samples(0).map((row) => row.note)).toEqual(["insufficient funds on card 9002", "", PROBE]);
});

it("has bars with and without failures", () => {
  expect(new Set(bars().map((bar) => bar.parts[1]!.value))).toEqual(new Set([0, 3]));
});
