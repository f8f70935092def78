import { expect, it } from "vitest";
import { branchOf, isWithin } from "./branches";

it.each([
  ["run_1:reserve:0", ""],
  ["run_1:quotes:2:ask:0", "quotes[2]"],
  ["run_1:orders:1:pay:0:charge:3", "orders[1]/pay[0]"],
  ["run_1:a\\:b:1:charge:0", "a:b[1]"],
  ["run_1:pay:1:compensate:charge:0", "pay[1]"],
  ["run_1:compensate:charge:0", ""],
  ["step-of-another-sdk:1", ""],
  ["run_1:a:b:c:0", ""],
])("reads the branch of %s", (id, branch) => expect(branchOf(id, "run_1")).toBe(branch));

it("shows a branch with those within it", () => {
  expect(["pay[1]", "pay[1]/x[0]", "pay[10]", ""].filter((each) => isWithin(each, "pay[1]"))).toEqual(["pay[1]", "pay[1]/x[0]"]);
});
