import { expect, it } from "vitest";
import { allows, isBuiltIn, ownPolicies, type Policy, type Role } from "./model";

const POLICY = { id: "pol_1", effect: "allow", actions: "emit:*", resources: "events/order.*", condition: "true" } as Policy;

it("describes built-in roles and those made of policies", () => {
  expect(allows({ id: "role_viewer" } as Role, [])).toBe("reads and subscribes");
  expect(allows({ id: "role_1", policies: ["pol_1"] } as Role, [POLICY])).toBe("allows emit:* on events/order.* where its condition holds");
  expect(allows({ id: "role_1", policies: [] } as unknown as Role, [POLICY])).toContain("nothing");
});

it("knows its own policies and the built-in roles", () => {
  expect(ownPolicies({ id: "role_1", policies: ["pol_1"] } as Role, [POLICY])).toEqual([POLICY]);
  expect([isBuiltIn({ id: "role_admin" } as Role), isBuiltIn({ id: "role_1" } as Role)]).toEqual([true, false]);
});
