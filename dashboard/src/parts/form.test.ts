import { expect, it } from "vitest";
import { begin, byField, element, faultOf, fieldOf, formOf, jsonOf, numberOf, others, shownAs, unplaced, Unparsed, withMember, written } from "./form";

const SCHEMA = {
  type: "object",
  required: ["id", "to"],
  properties: {
    note: { type: ["string", "null"], description: "For the courier", maxLength: 200 },
    id: { type: "string", pattern: "^ord_" },
    total: { type: "integer", minimum: 1, maximum: 100 },
    paid: { type: "boolean", default: false },
    kind: { enum: ["gift", "plain"] },
    due: { type: "string", format: "date" },
    at: { anyOf: [{ type: "string", format: "date-time" }, { type: "null" }] },
    to: { $ref: "#/$defs/Address" },
    lines: { type: "array", maxItems: 2, items: { type: "object", required: ["sku"], properties: { sku: { type: "string" } } } },
    way: { oneOf: [{ type: "string" }, { type: "object" }] },
    tags: { type: "object", additionalProperties: { type: "string" } },
    tree: { $ref: "#/$defs/Tree" },
  },
  $defs: {
    Address: { type: "object", required: ["city"], properties: { city: { type: "string", examples: ["Jena"] }, zip: { type: "string" } } },
    Tree: { type: "object", properties: { left: { $ref: "#/$defs/Tree" } } },
  },
};
const form = formOf(SCHEMA)!;
const field = (name: string) => form.fields.find((each) => each.name === name)!;

it("draws a field for each member, those that have to be there first", () => {
  expect(form.fields.map((each) => `${each.name}: ${each.kind}`)).toEqual([
    "id: text", "to: object", "note: text", "total: integer", "paid: boolean", "kind: choice", "due: date", "at: moment", "lines: array", "way: json", "tags: json", "tree: object",
  ]);
  expect(form.fields.slice(0, 2).every((each) => each.required)).toBe(true);
  expect(field("to").fields.map((each) => each.path)).toEqual(["/to/city", "/to/zip"]);
  expect(field("total").help).toBe("a whole number; 1 to 100");
  expect(field("note").help).toBe("For the courier; at most 200 characters");
});

it("ends a schema that refers to itself with a field of JSON", () => {
  let at = field("tree");
  while (at.kind === "object") at = at.fields[0]!;
  expect(at.kind).toBe("json");
  expect(fieldOf({ $ref: "#/$defs/A" }, { $defs: { A: { $ref: "#/$defs/A" } } }).kind).toBe("json");
});

it("has no form for what is no object with members", () => {
  expect([true, null, { type: "string" }, { type: "object" }, { oneOf: [] }].map(formOf)).toEqual([undefined, undefined, undefined, undefined, undefined]);
});

it("begins with what the schema gives", () => {
  expect(begin(form)).toEqual({ to: { city: "Jena" }, paid: false });
  expect(element(field("lines").item!)).toEqual({});
  expect(element(fieldOf({ type: "integer" }, {}))).toBe(0);
});

it("shows a value that is not of its kind as JSON, and what is half typed as it is", () => {
  expect([shownAs(field("id"), 5), shownAs(field("to"), "x"), shownAs(field("lines"), {}), shownAs(field("kind"), "other"), shownAs(field("due"), "soon")]).toEqual(["json", "json", "json", "json", "text"]);
  expect([shownAs(field("total"), "1x"), shownAs(field("total"), undefined)]).toEqual(["integer", "integer"]);
});

it("keeps a number that is none, or that a browser cannot hold, as its text", () => {
  expect(["", "12", "1.5", "-", "9007199254740993"].map(numberOf)).toEqual([undefined, 12, 1.5, "-", "9007199254740993"]);
  expect(faultOf(field("total"), "-")).toBe("This is no number.");
  expect(faultOf(field("total"), "9007199254740993")).toContain("cannot hold");
  expect(faultOf(field("total"), 1.5)).toBe("This is no whole number.");
});

it("writes what is no JSON yet as it was typed", () => {
  const half = jsonOf('{"a": ');
  expect(half).toBeInstanceOf(Unparsed);
  expect(written({ id: "1", way: half })).toBe('{\n  "id": "1",\n  "way": {"a": \n}');
  expect(written({ id: "\u00000" })).toBe('{\n  "id": "\\u00000"\n}');
});

it("keeps members that no field shows", () => {
  const value = { id: "1", more: 2 };
  expect(others(form, value)).toEqual({ more: 2 });
  expect(withMember(value, "id", "2")).toEqual({ id: "2", more: 2 });
  expect(withMember(value, "id", undefined)).toEqual({ more: 2 });
});

it("puts the server's reasons at their fields", () => {
  const faults = byField([{ path: "/to", reason: '"city" is a required property' }, { path: "/total", reason: "the value is greater than 100" }, { path: "", reason: "odd" }]);
  expect(faults.get("/to/city")).toBe("This is required.");
  expect(unplaced(faults, form, { to: {} })).toEqual(["odd"]);
  expect(unplaced(byField([{ path: "/tree/left", reason: "bad" }]), form, {})).toEqual(["/tree/left: bad"]);
});
