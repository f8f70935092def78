// One thing that a view shows: loaded once, loaded again on request, readable while the server is away.

import { Failure } from "../api/client";

export class Resource<Value> {
  value = $state.raw<Value | undefined>(undefined);
  failure = $state.raw<Failure | undefined>(undefined);
  loading = $state(false);
  /** When the shown value was current, by the browser's clock. */
  at = $state(0);
  private aborted: AbortController | undefined;

  constructor(private readonly load: (signal: AbortSignal) => Promise<Value>) {}

  /** Loads again. A newer call ends an older one; the shown value stays until the new one is there. */
  async refresh(): Promise<void> {
    this.aborted?.abort();
    const mine = (this.aborted = new AbortController());
    this.loading = true;
    try {
      const value = await this.load(mine.signal);
      if (mine.signal.aborted) return;
      this.value = value;
      this.failure = undefined;
      this.at = Date.now();
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!(error instanceof Failure)) throw error;
      this.failure = error;
    } finally {
      if (this.aborted === mine) this.loading = false;
    }
  }

  close(): void {
    this.aborted?.abort();
  }
}
