import { expect, it } from "vitest";
import { csv, json, names, summary } from "./model";

it("writes CSV with quotes where they are needed", () => {
  expect(csv(["a", "b"], [[1, 'x "y", z'], [null, { k: 1 }]])).toBe('a,b\r\n1,"x ""y"", z"\r\n,"{""k"":1}"\r\n');
});

it("writes a JSON object for each row", () => {
  expect(JSON.parse(json(["a", "b"], [[1, null]]))).toEqual([{ a: 1, b: null }]);
});

it("completes columns by table", () => {
  expect(names([{ name: "runs", columns: [{ name: "id", type: "text" }] }])).toEqual({ runs: ["id"] });
});

it("says when rows are left out", () => {
  expect(summary({ rows: [[1]], truncated: false } as never, 3)).toBe("1 row, 3 ms");
  expect(summary({ rows: [[1], [2]], truncated: true } as never, 3)).toContain("2 rows, and more");
});
