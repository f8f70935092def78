// A form from a JSON Schema: which fields it has, and the value that they make. Pure. What has no field of its own
// (oneOf, allOf, patterns of names) is a field of JSON, so every schema has a form and no value is out of reach.

export type Kind = "text" | "number" | "integer" | "boolean" | "choice" | "date" | "moment" | "object" | "array" | "json";

export interface Field {
  kind: Kind;
  name: string;
  /** JSON pointer into the data. */
  path: string;
  required: boolean;
  /** What the schema says about it, and its bounds. */
  help: string;
  options: unknown[];
  fields: Field[];
  /** What an element of an array is; at most as many as `most`. */
  item: Field | undefined;
  most: number;
  /** What an empty form begins with; undefined for nothing. */
  start: unknown;
}

/** A text in a field of JSON that is none yet: kept as it is typed, in the form and in the text. */
export class Unparsed {
  constructor(readonly text: string, readonly reason = "This is no JSON yet.") {}
}

/** The member that holds the text of the members that no field shows, while it is no object. */
export const OTHERS = "*others";

type Schema = Record<string, unknown>;
const DEPTH_MAX = 8;
/** How many fields a form has; those beyond are fields of JSON. Schemas that refer to themselves have any number. */
const FIELDS_MAX = 2000;
/** Schemas with one of these keywords are edited as JSON. */
const BEYOND = ["oneOf", "allOf", "not", "if", "patternProperties", "propertyNames", "dependentSchemas", "unevaluatedProperties", "prefixItems", "contains"];

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member of its own: every object inherits `constructor` and others, which data can have as names. */
export function own(value: unknown, name: string): unknown {
  return isSchema(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    return part;
  }
}

function resolved(schema: unknown, root: Schema, left = DEPTH_MAX): Schema {
  if (!isSchema(schema)) return {};
  const ref = schema["$ref"];
  if (typeof ref !== "string") return schema;
  if (!ref.startsWith("#/") || left === 0) return {};
  let found: unknown = root;
  for (const part of ref.slice(2).split("/")) found = own(found, unescaped(part));
  const { $ref: _, ...beside } = schema;
  return { ...resolved(found, root, left - 1), ...beside };
}

/** The schema without its null: a value that may be null may be left empty. */
function withoutNull(schema: Schema, root: Schema): Schema {
  const either = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(either)) {
    const left = either.map((each) => resolved(each, root)).filter((each) => each["type"] !== "null");
    const { anyOf: _, oneOf: __, ...beside } = schema;
    if (left.length === 1 && left.length < either.length) return { ...left[0], ...beside };
  }
  const type = schema["type"];
  if (Array.isArray(type) && type.length === 2 && type.includes("null")) return { ...schema, type: type.find((each) => each !== "null") };
  return schema;
}

function kindOf(schema: Schema, depth: number): Kind {
  if (Array.isArray(schema["enum"]) || "const" in schema) return "choice";
  if ("anyOf" in schema || BEYOND.some((keyword) => keyword in schema)) return "json";
  switch (schema["type"]) {
    case "string":
      return schema["format"] === "date" ? "date" : schema["format"] === "date-time" ? "moment" : "text";
    case "number":
    case "integer":
    case "boolean":
      return schema["type"];
    case "array":
      return depth < DEPTH_MAX && isSchema(schema["items"]) ? "array" : "json";
    case "object":
      return depth < DEPTH_MAX && isSchema(schema["properties"]) ? "object" : "json";
    default:
      return depth < DEPTH_MAX && schema["type"] === undefined && isSchema(schema["properties"]) ? "object" : "json";
  }
}

function between(schema: Schema, least: string, most: string, unit: string): string {
  const [from, to] = [schema[least], schema[most]];
  if (typeof from === "number" && typeof to === "number") return from === to ? `${from}${unit}` : `${from} to ${to}${unit}`;
  if (typeof from === "number") return `at least ${from}${unit}`;
  return typeof to === "number" ? `at most ${to}${unit}` : "";
}

function helpOf(schema: Schema, kind: Kind): string {
  const parts = [typeof schema["description"] === "string" ? schema["description"] : ""];
  if (kind === "number" || kind === "integer") parts.push(kind === "integer" ? "a whole number" : "a number", between(schema, "minimum", "maximum", ""));
  if (kind === "text") parts.push(between(schema, "minLength", "maxLength", " characters"), typeof schema["format"] === "string" ? schema["format"] : "", typeof schema["pattern"] === "string" ? `like ${schema["pattern"]}` : "");
  if (kind === "moment") parts.push("a time such as 2026-01-31T12:00:00Z");
  if (kind === "array") parts.push(between(schema, "minItems", "maxItems", " of them"));
  return parts.filter(Boolean).join("; ");
}

function startOf(schema: Schema): unknown {
  if ("default" in schema) return schema["default"];
  if ("const" in schema) return schema["const"];
  return Array.isArray(schema["examples"]) ? schema["examples"][0] : undefined;
}

export function pointer(path: string, name: string | number): string {
  return `${path}/${String(name).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function once<Made>(make: () => Made): () => Made {
  let made: { of: Made } | undefined;
  return () => (made ??= { of: make() }).of;
}

/** The field of a schema; those below it are made when they are looked at. root: where its references lead. left: fields that may yet be made. */
export function fieldOf(given: unknown, root: Schema, name = "", path = "", required = true, depth = 0, left = { fields: FIELDS_MAX }): Field {
  const schema = withoutNull(resolved(given, root), root);
  left.fields -= 1;
  const kind = kindOf(schema, left.fields > 0 ? depth : DEPTH_MAX);
  const wanted = Array.isArray(schema["required"]) ? schema["required"] : [];
  const fields = once(() => {
    const properties = kind === "object" ? Object.entries(schema["properties"] as Schema) : [];
    const below = properties.map(([each, one]) => fieldOf(one, root, each, pointer(path, each), wanted.includes(each), depth + 1, left));
    // Those that have to be there come first.
    return [...below.filter((each) => each.required), ...below.filter((each) => !each.required)];
  });
  const item = once(() => (kind === "array" ? fieldOf(schema["items"], root, "", `${path}/*`, true, depth + 1, left) : undefined));
  const options = Array.isArray(schema["enum"]) ? schema["enum"] : "const" in schema ? [schema["const"]] : [];
  return {
    kind, name, path, required, help: helpOf(schema, kind), start: startOf(schema),
    // Each once, also where the schema repeats it.
    options: [...new Map(options.map((each) => [JSON.stringify(each), each as unknown])).values()],
    get fields() { return fields(); },
    get item() { return item(); },
    most: typeof schema["maxItems"] === "number" ? schema["maxItems"] : Infinity,
  };
}

/** The form of an event's schema; undefined for one that is not of an object with named members. */
export function formOf(schema: unknown): Field | undefined {
  if (!isSchema(schema)) return undefined;
  const field = fieldOf(schema, schema);
  return field.kind === "object" && field.fields.length > 0 ? field : undefined;
}

/** What a new form begins with: the values that the schema gives, and the objects that have to be there. */
export function begin(field: Field): unknown {
  if (field.start !== undefined) return field.start;
  if (field.kind !== "object") return undefined;
  const found: [string, unknown][] = [];
  for (const each of field.fields) {
    const value = each.required || each.start !== undefined ? begin(each) : undefined;
    if (value !== undefined) found.push([each.name, value]);
  }
  return Object.fromEntries(found);
}

/** What a new element of an array is. */
export function element(item: Field): unknown {
  const first = begin(item);
  if (first !== undefined) return first;
  switch (item.kind) {
    case "array":
      return [];
    case "boolean":
      return false;
    case "number":
    case "integer":
      return 0;
    case "choice":
      return item.options[0];
    case "json":
      return null;
    default:
      return "";
  }
}

/** How the field shows a value: by itself, or as JSON where the value is not of its kind. */
export function shownAs(field: Field, value: unknown): Kind {
  if (value === undefined) return field.kind;
  if (value instanceof Unparsed) return "json";
  switch (field.kind) {
    case "object":
      return isSchema(value) ? "object" : "json";
    case "array":
      return Array.isArray(value) ? "array" : "json";
    case "text":
    case "moment":
      return typeof value === "string" ? field.kind : "json";
    case "date":
      return typeof value === "string" && /^(\d{4}-\d\d-\d\d)?$/.test(value) ? "date" : typeof value === "string" ? "text" : "json";
    case "number":
    case "integer":
      // What is half typed is a text.
      return typeof value === "number" || typeof value === "string" ? field.kind : "json";
    case "boolean":
      return typeof value === "boolean" ? "boolean" : "json";
    case "choice":
      return field.options.some((each) => JSON.stringify(each) === JSON.stringify(value)) ? "choice" : "json";
    default:
      return "json";
  }
}

/** The number that a text is, or the text itself while it is none, or one that a browser cannot hold exactly. */
export function numberOf(text: string): number | string | undefined {
  if (text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value)) ? value : text;
}

/** The JSON that a text is; undefined for none. */
export function jsonOf(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return new Unparsed(text);
  }
}

/** What is wrong with a value before it is sent; empty when only the server can decide. */
export function faultOf(field: Field, value: unknown): string {
  if (value instanceof Unparsed) return value.reason;
  if (value === undefined) return "";
  if ((field.kind === "number" || field.kind === "integer") && typeof value === "string") {
    return Number.isFinite(Number(value)) ? "A browser cannot hold this number exactly: emit it by program or command line." : "This is no number.";
  }
  return field.kind === "integer" && typeof value === "number" && !Number.isInteger(value) ? "This is no whole number." : "";
}

/** The value as an indented text. What is no JSON yet stands in it as it was typed, and the text is none then. */
export function written(value: unknown): string {
  const typed: string[] = [];
  const text = JSON.stringify(value, (_, each: unknown) => (each instanceof Unparsed ? `\u0000${typed.push(each.text) - 1}` : each), 2) ?? "";
  return typed.length === 0 ? text : text.replace(/"\\u0000(\d+)"/g, (all, index: string) => typed[Number(index)] ?? all);
}

/** An object with one member set, or removed by undefined. The others stay, also those that no field shows. */
export function withMember(value: unknown, name: string, to: unknown): Record<string, unknown> {
  const before = isSchema(value) ? value : {};
  if (to !== undefined) return { ...before, [name]: to };
  const { [name]: _, ...rest } = before;
  return rest;
}

/** The members that no field shows, or their text while it is none; undefined without any. */
export function others(field: Field, value: unknown): Record<string, unknown> | Unparsed | undefined {
  if (!isSchema(value)) return undefined;
  const typed = own(value, OTHERS);
  if (typed instanceof Unparsed) return typed;
  const left = Object.entries(value).filter(([name]) => !field.fields.some((each) => each.name === name));
  return left.length > 0 ? Object.fromEntries(left) : undefined;
}

/** An object with other members than before beside those of its fields. What is no object is kept as it was typed. */
export function withOthers(field: Field, value: unknown, to: unknown): Record<string, unknown> {
  const kept = Object.entries(isSchema(value) ? value : {}).filter(([name]) => field.fields.some((each) => each.name === name));
  if (to === undefined) return Object.fromEntries(kept);
  if (isSchema(to) && !(to instanceof Unparsed)) return { ...Object.fromEntries(kept), ...to };
  return Object.fromEntries([...kept, [OTHERS, to instanceof Unparsed ? to : new Unparsed(written(to), "Other members are an object.")]]);
}

/** Calls `visit` for each field that is shown, with its place and value. */
function walk(field: Field, value: unknown, visit: (field: Field, path: string, value: unknown) => void, path = ""): void {
  visit(field, path, value);
  const kind = shownAs(field, value);
  if (kind === "object" && (value !== undefined || field.required)) {
    for (const each of field.fields) walk(each, own(value, each.name), visit, pointer(path, each.name));
    const typed = own(value, OTHERS);
    if (typed instanceof Unparsed) visit(field, pointer(path, "other members"), typed);
  }
  if (kind === "array" && field.item && Array.isArray(value)) value.forEach((each, index) => walk(field.item!, each, visit, pointer(path, index)));
}

/** The first field whose value cannot be sent as it stands, and why; empty for none. */
export function flaw(field: Field, value: unknown): string {
  let found = "";
  walk(field, value, (each, path, here) => {
    found ||= faultOf(each, here) && `${path}: ${faultOf(each, here)}`;
  });
  return found;
}

export interface Violation {
  path: string;
  reason: string;
}

/** The server's reasons by the field that they are about: a missing member is shown at its own field. */
export function byField(violations: Violation[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { path, reason } of violations) {
    const missing = /^"(.+)" is a required property$/.exec(reason)?.[1];
    const at = missing === undefined ? path : pointer(path, missing);
    const text = missing === undefined ? reason : "This is required.";
    found.set(at, found.has(at) ? `${found.get(at)}; ${text}` : text);
  }
  return found;
}

/** The reasons that no field of the form shows: it has none there, or it is folded away. */
export function unplaced(faults: Map<string, string>, field: Field | undefined, value: unknown): string[] {
  const shown = new Set<string>();
  if (field) walk(field, value, (_, path) => shown.add(path));
  return [...faults].filter(([path]) => path === "" || !shown.has(path)).map(([path, reason]) => (path ? `${path}: ${reason}` : reason));
}
