import { expect, it } from "vitest";
import { changes, disabling, emailFault, passwordFault, roleNames, type Role, type User } from "./model";

const user = { id: "user_1", org_id: "org", email: "ada@shop.example", name: "Ada", roles: ["role_viewer"], created_at: "", updated_at: "", last_login_at: null } as User;

it("names the roles of a user, and the id of one that is not seen", () => {
  expect(roleNames({ ...user, roles: ["role_viewer", "role_x"] }, [{ id: "role_viewer", name: "viewer" } as Role])).toBe("viewer, role_x");
});

it("refuses what is no address and what is too short a password", () => {
  expect([emailFault(""), emailFault("ada@shop.example"), passwordFault(""), passwordFault("correct horse")]).toEqual(["", "", "", ""]);
  expect(emailFault("ada")).toContain("@");
  expect(passwordFault("short")).toContain("8");
});

it("sends what a form has changed", () => {
  expect(changes(user, "ada@shop.example", "Ada", ["role_viewer"])).toEqual({});
  expect(changes(user, "ada@shop.example ", "Ada L.", ["role_viewer", "role_admin"])).toEqual({ name: "Ada L.", roles: ["role_viewer", "role_admin"] });
});

it("sends the reason and the keys of a user who is disabled", () => {
  expect([disabling(" ", false), disabling(" left ", true)]).toEqual([{}, { reason: "left", revoke_keys: true }]);
});
