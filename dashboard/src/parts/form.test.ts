import { expect, it } from "vitest";
import { begin, byField, element, faultOf, fieldOf, flaw, formOf, jsonOf, numberOf, others, own, shownAs, unplaced, Unparsed, withMember, withOthers, written } from "./form";

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

it("makes no more fields than are looked at, of schemas that branch without end", () => {
  const names = Array.from({ length: 20 }, (_, index) => `n${index}`);
  const properties = Object.fromEntries(names.map((name) => [name, { $ref: "#/$defs/Node" }]));
  const root = (required: string[]) => ({ type: "object", required, properties, $defs: { Node: { type: "object", required, properties } } });
  expect(formOf(root([]))!.fields[3]!.fields[3]!.kind).toBe("object");
  // Also where all of them have to be there.
  expect(JSON.stringify(begin(formOf(root(names))!)).length).toBeLessThan(50_000);
});

it("reads references that are no addresses, and repeated choices", () => {
  expect(fieldOf({ $ref: "#/$defs/100%" }, { $defs: { "100%": { type: "boolean" } } }).kind).toBe("boolean");
  expect(fieldOf({ $ref: "#/constructor" }, {}).kind).toBe("json");
  expect(fieldOf({ enum: ["a", 1, "a", 1.0] }, {}).options).toEqual(["a", 1]);
});

it("shows members whose names every object has", () => {
  const odd = formOf(JSON.parse('{"properties": {"constructor": {"type": "string"}, "__proto__": {"type": "string", "default": "x"}}}'))!;
  expect(odd.fields.map((each) => own({}, each.name))).toEqual([undefined, undefined]);
  expect(JSON.stringify(begin(odd))).toBe('{"__proto__":"x"}');
  expect(JSON.stringify(withMember({}, "__proto__", "y"))).toBe('{"__proto__":"y"}');
  expect(flaw(odd, {})).toBe("");
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

it("keeps what is typed of other members while it is no object", () => {
  const half = withOthers(form, { id: "1", more: 2 }, jsonOf('{"more": '));
  expect(others(form, half)).toBeInstanceOf(Unparsed);
  expect(written(half)).toContain('{"more": ');
  expect(flaw(form, half)).toBe("/other members: This is no JSON yet.");
  expect(flaw(form, withOthers(form, half, 5))).toBe("/other members: Other members are an object.");
  expect(withOthers(form, half, { more: 3 })).toEqual({ id: "1", more: 3 });
  expect(withOthers(form, half, undefined)).toEqual({ id: "1" });
});

it("names the first field that cannot be sent as it stands", () => {
  expect(flaw(form, { id: "1", total: 5 })).toBe("");
  expect(flaw(form, { id: "1", total: "5x" })).toBe("/total: This is no number.");
  expect(flaw(form, { lines: [{}, { sku: new Unparsed("{") }] })).toBe("/lines/1/sku: This is no JSON yet.");
});

it("puts the server's reasons at their fields", () => {
  const faults = byField([{ path: "/to", reason: '"city" is a required property' }, { path: "/total", reason: "the value is greater than 100" }, { path: "", reason: "odd" }]);
  expect(faults.get("/to/city")).toBe("This is required.");
  expect(unplaced(faults, form, { to: {} })).toEqual(["odd"]);
  expect(unplaced(byField([{ path: "/tree/left", reason: "bad" }]), form, {})).toEqual(["/tree/left: bad"]);
});
