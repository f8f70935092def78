// What an endpoint serves against what is registered. Pure.

import type { Schemas } from "../../api/client";
import { argument } from "../../parts/copy";

export { endpointFault } from "./model";
export type Served = Schemas["ServedFunction"];

/** Those that are chosen at first: what is new or changed. */
export function proposed(functions: Served[]): string[] {
  return functions.filter((each) => each.change === "created" || each.change === "updated").map((each) => each.id);
}

/** The same as a command. */
export const discoverCommand = (url: string): string => `ironflow register ${argument(url)} --dry-run`;

/** What registering it does. */
export function changeText(served: Served): string {
  switch (served.change) {
    case "created":
      return "new";
    case "updated":
      return `changes version ${served.version}`;
    case "same":
      return `registered as it is, version ${served.version}`;
    default:
      return "cannot be registered";
  }
}
