import { expect, it } from "vitest";
import { fault, most, whom } from "./model";

it("says whom a limit concerns", () => {
  expect(["key:key_1", "env:staging", "key:*", "env:*"].map(whom)).toEqual([
    "key key_1", "environment staging", "every key without a limit of its own", "every environment without a limit of its own",
  ]);
});

it("calls 0 no limit", () => {
  expect([most(0), most(undefined), most(1500)]).toEqual(["no limit", "no limit", "1,500"]);
});

it("refuses what is no subject", () => {
  expect(["", "key:*", "env:a"].map(fault)).toEqual(["", "", ""]);
  expect(fault("staging")).toContain("env:NAME");
});
