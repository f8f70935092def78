import { expect, it } from "vitest";
import { found, originText, valueText, type Setting } from "./model";

const setting = (name: string, origin: string) => ({ name, origin, variable: `IRONFLOW_${name.toUpperCase()}`, meaning: "What it is." }) as Setting;

it("shows what was set first", () => {
  const all = [setting("host", "default"), setting("port", "the command line")];
  expect(found(all, "").map((each) => each.name)).toEqual(["port", "host"]);
  expect(found(all, "HOST").map((each) => each.name)).toEqual(["host"]);
});

it("shows values", () => {
  expect([valueText(""), valueText("a"), valueText(5), valueText(false)]).toEqual(["empty", "a", "5", "false"]);
});

it("names the origin, also where a program has set a value", () => {
  expect(originText(setting("port", "default"))).toBe("default");
  expect(originText({ ...setting("port", "the command line"), value: 1, default: 9123 })).toBe("from the command line; the default is 9123");
  expect(originText({ ...setting("port", "default"), value: 0, default: 9123 })).toContain("set by the program");
});
