// Policies: what a form holds, and what a try of a condition found. Pure.

import type { Schemas } from "../../api/client";

export type Policy = Schemas["Policy"];

export interface Form {
  name: string;
  effect: string;
  actions: string;
  resources: string;
  condition: string;
}

export const EMPTY: Form = { name: "", effect: "allow", actions: "", resources: "*", condition: "" };

export function formOf(policy: Policy): Form {
  return { name: policy.name, effect: policy.effect, actions: policy.actions, resources: policy.resources, condition: policy.condition ?? "" };
}

/** Why a form cannot be saved; empty when it can. */
export function fault(form: Form): string {
  if (!form.name.trim()) return "A policy has a name.";
  if (!form.actions.trim()) return "A policy has actions, such as events:emit or emit:*.";
  return form.resources.trim() ? "" : "A policy has resources, such as events/order.* or *.";
}

/** What a condition did with the values of a try. */
export function outcome(tried: Schemas["Tried"]): string {
  if (!tried.decided) return "The condition cannot be evaluated with these values: an allow does not match then, a deny does.";
  return tried.holds ? "The condition holds: the policy applies." : "The condition does not hold: the policy does not apply.";
}
