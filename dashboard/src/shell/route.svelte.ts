// The address as state: path, query and what changes them. The URL holds every state of a view.

class Route {
  path = $state(location.pathname);
  query = $state(new URLSearchParams(location.search));

  constructor() {
    addEventListener("popstate", () => this.read());
    document.addEventListener("click", (event) => this.follow(event));
  }

  /** The first part of the path, empty on the overview. */
  get page(): string {
    return this.path.split("/")[1] ?? "";
  }

  /** What follows the page, decoded: the id, name or key that it is about. */
  get rest(): string[] {
    return this.path.split("/").slice(2).filter(Boolean).map(decodeURIComponent);
  }

  go(to: string): void {
    if (to === location.pathname + location.search) return;
    history.pushState(null, "", to);
    this.read();
    scrollTo(0, 0);
  }

  /** Sets query values and keeps the others; empty ones are removed. replace: without an entry in the history. */
  set(values: Record<string, string | undefined>, replace = true): void {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(values)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    history[replace ? "replaceState" : "pushState"](null, "", this.path + (text ? `?${text}` : ""));
    this.query = query;
  }

  private read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  /** Follows plain clicks on links within the dashboard without loading the page anew. */
  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.target || link.download || link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const route = new Route();

/** An address of the dashboard: its parts are encoded, empty query values are left out. */
export function address(parts: string[], query: Record<string, string> = {}): string {
  const path = "/" + parts.map(encodeURIComponent).join("/");
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return text ? `${path}?${text}` : path;
}
