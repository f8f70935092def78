// Settings of the server: those that were set first, each with where its value came from. Pure.

import type { Schemas } from "../../api/client";

export type Setting = Schemas["Setting"];

const differs = (setting: Setting): boolean => JSON.stringify(setting.value) !== JSON.stringify(setting.default);

/** It was set, also where that is its default. */
export const isSet = (setting: Setting): boolean => setting.origin !== "default" || differs(setting);

/** Where a value came from; a program that starts a server itself, as tests do, names no origin. */
export function originText(setting: Setting): string {
  if (!isSet(setting)) return "default";
  const from = setting.origin === "default" ? "set by the program that starts the server" : `from ${setting.origin}`;
  return `${from}; the default is ${valueText(setting.default)}`;
}

/** A value as a person reads it. */
export function valueText(value: unknown): string {
  return value === "" ? "empty" : typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

/** Those that hold a text in name or meaning; what was set comes first, each part in the order of the reference. */
export function found(all: Setting[], text: string): Setting[] {
  const low = text.trim().toLowerCase();
  const some = all.filter((setting) => `${setting.name} ${setting.variable} ${setting.meaning}`.toLowerCase().includes(low));
  return [...some.filter(isSet), ...some.filter((setting) => !isSet(setting))];
}
