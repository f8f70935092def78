// Saved views of the runs: filters with a name, kept in this browser. Pure; `parse` takes what was kept.

export interface View {
  name: string;
  filter: string;
}

/** Views that everyone has. */
export const COMMON: View[] = [
  { name: "Failed in the last day", filter: "status:failed since:24h" },
  { name: "Waiting", filter: "status:waiting" },
  { name: "Paused", filter: "status:paused" },
];
export const KEPT = "ironflow.views";

/** What was kept, without what is no view. */
export function parse(text: string | null): View[] {
  try {
    const found: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(found) ? found.filter((each): each is View => typeof (each as View | null)?.name === "string" && typeof (each as View).filter === "string") : [];
  } catch {
    return [];
  }
}

/** With a view; one of the same name is replaced. */
export function saved(views: View[], view: View): View[] {
  return [...views.filter((each) => each.name !== view.name), view].sort((a, b) => a.name.localeCompare(b.name));
}

export function without(views: View[], name: string): View[] {
  return views.filter((each) => each.name !== name);
}
