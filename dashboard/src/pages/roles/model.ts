// Roles: what each allows, as a sentence. Pure.

import type { Schemas } from "../../api/client";

export type Role = Schemas["Role"];
export type Policy = Schemas["Policy"];

const BUILT_IN: Record<string, string> = {
  role_admin: "everything",
  role_developer: "everything about events, functions, runs, workers, data and SQL; reads roles, policies, environments and the audit trail",
  role_viewer: "reads and subscribes",
};

/** What a role allows. policies: all that there are. */
export function allows(role: Role, policies: Policy[]): string {
  const built = BUILT_IN[role.id];
  if (built) return built;
  const own = ownPolicies(role, policies);
  return own.map((policy) => `${policy.effect}s ${policy.actions} on ${policy.resources}${policy.condition ? " where its condition holds" : ""}`).join("; ") || "nothing: it has no policy";
}

/** Policies that a role has. */
export function ownPolicies(role: Role, policies: Policy[]): Policy[] {
  return policies.filter((policy) => role.policies?.includes(policy.id));
}

export const isBuiltIn = (role: Role): boolean => role.id in BUILT_IN;
