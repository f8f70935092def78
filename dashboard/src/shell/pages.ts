// The pages of the dashboard by group of the rail. A page is loaded when it is first opened.

import type { Component } from "svelte";

type Load = () => Promise<{ default: Component }>;

export interface Page {
  noun: string;
  title: string;
  load: Load;
  /** The page of one thing, at `/<noun>/<id>`; without it, `load` serves it too. */
  one?: Load;
  /** Pages at `/<noun>/<name>` that are of no one thing. */
  named?: ReadonlyMap<string, Load>;
}
export interface Group {
  title: string;
  mark: string;
  pages: Page[];
}

export const groups: Group[] = [
  {
    title: "Now",
    mark: "◆",
    pages: [
      { noun: "", title: "Overview", load: () => import("../pages/overview/Page.svelte") },
      { noun: "errors", title: "Errors", load: () => import("../pages/errors/Page.svelte") },
    ],
  },
  {
    title: "Work",
    mark: "▶",
    pages: [
      { noun: "runs", title: "Runs", load: () => import("../pages/runs/Page.svelte"), one: () => import("../pages/run/Page.svelte"), named: new Map([["compare", () => import("../pages/compare/Page.svelte")]]) },
      { noun: "functions", title: "Functions", load: () => import("../pages/functions/Page.svelte"), one: () => import("../pages/functions/One.svelte") },
      { noun: "schedules", title: "Schedules", load: () => import("../pages/schedules/Page.svelte"), one: () => import("../pages/schedules/One.svelte") },
      { noun: "map", title: "Map", load: () => import("../pages/map/Page.svelte") },
      { noun: "workers", title: "Workers", load: () => import("../pages/workers/Page.svelte") },
    ],
  },
  {
    title: "History",
    mark: "≡",
    pages: [
      { noun: "events", title: "Events", load: () => import("../pages/events/Page.svelte"), one: () => import("../pages/events/One.svelte") },
      { noun: "streams", title: "Streams", load: () => import("../pages/streams/Page.svelte"), one: () => import("../pages/streams/One.svelte") },
      { noun: "projections", title: "Projections", load: () => import("../pages/projections/Page.svelte"), one: () => import("../pages/projections/One.svelte") },
      { noun: "sql", title: "SQL", load: () => import("../pages/sql/Page.svelte") },
    ],
  },
  {
    title: "Live",
    mark: "∿",
    pages: [
      { noun: "topics", title: "Topics", load: () => import("../pages/topics/Page.svelte"), one: () => import("../pages/topics/One.svelte") },
      { noun: "groups", title: "Groups", load: () => import("../pages/groups/Page.svelte"), one: () => import("../pages/groups/One.svelte") },
    ],
  },
  {
    title: "State",
    mark: "▤",
    pages: [
      { noun: "kv", title: "KV", load: () => import("../pages/kv/Page.svelte"), one: () => import("../pages/kv/One.svelte") },
      { noun: "config", title: "Config", load: () => import("../pages/config/Page.svelte"), one: () => import("../pages/config/One.svelte") },
      { noun: "secrets", title: "Secrets", load: () => import("../pages/secrets/Page.svelte") },
      { noun: "schemas", title: "Schemas", load: () => import("../pages/schemas/Page.svelte"), one: () => import("../pages/schemas/One.svelte") },
    ],
  },
  {
    title: "Doors",
    mark: "◧",
    pages: [
      { noun: "webhooks", title: "Webhooks", load: () => import("../pages/webhooks/Page.svelte"), one: () => import("../pages/webhooks/One.svelte") },
      { noun: "deliveries", title: "Deliveries", load: () => import("../pages/webhooks/AllDeliveries.svelte"), one: () => import("../pages/webhooks/Delivery.svelte") },
      { noun: "keys", title: "API keys", load: () => import("../pages/keys/Page.svelte") },
      { noun: "users", title: "Users", load: () => import("../pages/users/Page.svelte") },
      { noun: "roles", title: "Roles", load: () => import("../pages/roles/Page.svelte") },
      { noun: "policies", title: "Policies", load: () => import("../pages/policies/Page.svelte") },
      { noun: "limits", title: "Limits", load: () => import("../pages/limits/Page.svelte") },
      { noun: "environments", title: "Environments", load: () => import("../pages/environments/Page.svelte") },
      { noun: "audit", title: "Audit", load: () => import("../pages/audit/Page.svelte") },
      { noun: "settings", title: "Settings", load: () => import("../pages/settings/Page.svelte") },
      { noun: "gallery", title: "Gallery", load: () => import("../pages/gallery/Page.svelte") },
    ],
  },
];

/** Addresses that published examples link to, and the page that they show. */
const ALIASES: Record<string, string> = { "compliance-audit": "audit" };

export const pages = groups.flatMap((group) => group.pages);

/** The page of a noun; undefined for an address that is none of the dashboard's. */
export function pageOf(noun: string): Page | undefined {
  return pages.find((page) => page.noun === (ALIASES[noun] ?? noun));
}
