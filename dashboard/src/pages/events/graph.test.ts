import { expect, it } from "vitest";
import { BOX, drawn, NODES_MAX, quoted, type Node } from "./graph";

const node = (id: string, parent: string): Node => ({ id, kind: "run", title: id, status: "", parent });

it("places children in the next column, below one another", () => {
  const made = drawn([node("a", ""), node("b", "a"), node("c", "a"), node("d", "c")]);
  const across = BOX.width + BOX.gapX;
  const down = BOX.height + BOX.gapY;
  expect(made.nodes.map(({ id, x, y }) => [id, x / across, y / down])).toEqual([["a", 0, 0], ["b", 1, 0], ["c", 1, 1], ["d", 2, 1]]);
  expect(made.edges.map((edge) => edge.key)).toEqual(["a b", "a c", "c d"]);
  expect([made.width, made.height]).toEqual([2 * across + BOX.width, down + BOX.height]);
});

it("draws a bounded number", () => {
  expect(drawn([node("a", ""), ...Array.from({ length: 500 }, (_, index) => node(`n${index}`, "a"))]).nodes).toHaveLength(NODES_MAX);
});

it("puts ids only into a query", () => {
  expect(quoted(["evt_1", "x' OR '1'='1"])).toBe("'evt_1'");
});
