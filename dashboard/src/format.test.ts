import { describe, expect, it } from "vitest";
import { bytes, count, exact, relative, shortId, span, visible } from "./format";

describe("span", () => {
  it.each([
    [31, "31 ms"], [4_600, "4.6 s"], [46_000, "46 s"], [130_000, "2 m 10 s"], [120_000, "2 m"],
    [5_000, "5 s"], [39_312_000_000, "1 y 90 d"], [7_980_000, "2 h 13 m"], [273_600_000, "3 d 4 h"], [0, "0 ms"],
  ])("of %i ms is %s", (ms, text) => expect(span(ms)).toBe(text));
});

it("distinguishes the past from the future", () => {
  expect(relative(0, 125_000)).toBe("2 m ago");
  expect(relative(82_800_000, 0)).toBe("in 23 h");
  expect(relative(2_274_825_600_000, 0)).toBe("in 72 y");
  expect(relative(500, 0)).toBe("now");
});

it("writes a moment in UTC with milliseconds", () => {
  expect(exact(1_790_000_000_123, "utc")).toBe("2026-09-21T14:13:20.123Z");
});

it("groups digits and scales bytes", () => {
  expect(count(1234)).toBe("1,234");
  expect(bytes(1_234_567)).toBe("1.2 MB");
  expect(bytes(512)).toBe("512 B");
});

it("shortens ids to their kind and end", () => {
  expect(shortId("run_01JABCDEFGHJKMNPQRSTVWH3Z9")).toBe("run_…H3Z9");
  expect(shortId("order-1")).toBe("order-1");
});

it("shows characters that would reorder or hide text", () => {
  expect(visible("a\u202eb\u0000")).toBe("a⟨U+202E⟩b⟨U+0000⟩");
});
