// Users: their roles by name, and what a form may send. Pure.

import type { Schemas } from "../../api/client";

export type User = Schemas["User"];
export type Role = Schemas["Role"];

export const PASSWORD_CHARS_MIN = 8;

/** The names of a user's roles; the id of one that the caller may not see. */
export function roleNames(user: User, roles: Role[]): string {
  return user.roles.map((id) => roles.find((role) => role.id === id)?.name ?? id).join(", ");
}

/** Why an e-mail address is none, as a sentence; empty when it may be one. The server decides. */
export function emailFault(email: string): string {
  return email.trim() === "" || /^[^@\s]+@[^@\s]+$/.test(email.trim()) ? "" : "An e-mail address has a name, an @ and a domain.";
}

/** Why a password is not accepted; empty when it is, or none is typed yet. */
export function passwordFault(password: string): string {
  return password === "" || password.length >= PASSWORD_CHARS_MIN ? "" : `A password has at least ${PASSWORD_CHARS_MIN} characters.`;
}

/** What a form changes of a user: fields that are as before are left out. */
export function changes(user: User, email: string, name: string, roles: string[]): Partial<Schemas["UpdateUser"]> {
  const same = roles.length === user.roles.length && roles.every((role) => user.roles.includes(role));
  return {
    ...(email.trim() === user.email ? {} : { email: email.trim() }),
    ...(name.trim() === user.name ? {} : { name: name.trim() }),
    ...(same ? {} : { roles }),
  };
}

/** What the form sends to disable a user: fields that are empty are left out. */
export function disabling(reason: string, revoke: boolean): Partial<Schemas["DisableUser"]> {
  return { ...(reason.trim() ? { reason: reason.trim() } : {}), ...(revoke ? { revoke_keys: true } : {}) };
}
