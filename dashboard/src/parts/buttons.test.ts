import { expect, it } from "vitest";

const sources = import.meta.glob<string>("./*.svelte", { query: "?raw", import: "default", eager: true });

it("gives every button of a shared component a type: within a form, one without would send it", () => {
  const without = Object.entries(sources).flatMap(([file, text]) => [...text.matchAll(/<button(?![^>]*\stype=)/g)].map(() => file));
  expect(Object.keys(sources).length).toBeGreaterThan(10);
  expect(without).toEqual([]);
});
