import { expect, it } from "vitest";
import { parse, saved, without } from "./views";

it("keeps views by name", () => {
  const views = saved(saved([], { name: "b", filter: "1" }), { name: "a", filter: "2" });
  expect(saved(views, { name: "b", filter: "3" })).toEqual([{ name: "a", filter: "2" }, { name: "b", filter: "3" }]);
  expect(without(views, "a")).toEqual([{ name: "b", filter: "1" }]);
});

it("ignores what is no view", () => {
  expect([parse(null), parse("{"), parse('[{"name": 1}, null]'), parse('[{"name": "a", "filter": ""}]')]).toEqual([[], [], [], [{ name: "a", filter: "" }]]);
});
