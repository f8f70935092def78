import { expect, it } from "vitest";
import { ending, lifetimeFault, roleNames, type Key } from "./model";

const KEY = { role_ids: ["role_admin", "role_x"] } as Key;
const DAY = 86_400_000;

it("warns of a key that ends soon", () => {
  expect(ending({ ...KEY, expires_at: "1970-01-31T00:00:00Z" }, 0)).toBe("");
  expect(ending({ ...KEY, expires_at: "1970-01-03T00:00:00Z" }, 0)).toBe("expires in 2 d");
  expect(ending({ ...KEY, expires_at: "1970-01-02T00:00:00Z" }, 2 * DAY)).toBe("expired");
  expect(ending({ ...KEY, previous_valid_until: "1970-01-01T01:00:00Z" }, 0)).toContain("works for 1 h more");
});

it("names roles", () => {
  expect(roleNames(KEY, [{ id: "role_admin", name: "admin" }] as never)).toBe("admin, role_x");
  expect(roleNames({ ...KEY, role_ids: [] }, [])).toContain("may do nothing");
});

it("knows a lifetime", () => {
  expect([lifetimeFault(""), lifetimeFault("90d"), lifetimeFault("soon")]).toEqual(["", "", "A lifetime is a number with a unit, such as 90d or 12h."]);
});
