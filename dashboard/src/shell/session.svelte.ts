// The API key of this tab, and the log-in that requests wait for. Kept in sessionStorage: it ends with the tab.
// A user's session is a cookie, which the browser sends by itself: then there is no key.

const KEPT = "ironflow.key";

class Session {
  key = $state(sessionStorage.getItem(KEPT) ?? "");
  /** Why the log-in is open; empty while it is closed. */
  wanted = $state<"" | "needed" | "refused">("");
  /** The log-in was closed without a key: requests are refused until it is opened. */
  private declined = false;
  private waiting: ((entered: boolean) => void)[] = [];

  /**
   * After a 401 for a request made with `used`: opens the log-in and resolves when it has ended.
   * True: there is another key, repeat the request. False: there is none.
   */
  renew(used: string): Promise<boolean> {
    if (this.key !== used) return Promise.resolve(true);
    if (this.declined) return Promise.resolve(false);
    this.open(used ? "refused" : "needed");
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  open(why: "needed" | "refused" = "needed"): void {
    [this.wanted, this.declined] = [why, false];
  }

  /** Takes a key that the server has accepted, empty for a user's session, and lets what waits for it go on. */
  enter(key: string): void {
    this.key = key;
    if (key) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
    this.end(true);
  }

  decline(): void {
    this.declined = true;
    this.end(false);
  }

  leave(): void {
    this.key = "";
    // Also what was typed into forms: the next one at this tab may be another person.
    for (const name of Object.keys(sessionStorage)) if (name.startsWith("ironflow.")) sessionStorage.removeItem(name);
    this.open();
  }

  private end(entered: boolean): void {
    this.wanted = "";
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve(entered);
  }
}

export const session = new Session();
