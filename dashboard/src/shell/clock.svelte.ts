// The present moment, once a second, for everything that shows a relative time. Corrected by the server's clock.

class Clock {
  now = $state(Date.now());
  /** Milliseconds that the server's clock is ahead of the browser's; from the Date header of answers. */
  ahead = 0;

  constructor() {
    setInterval(() => (this.now = Date.now() + this.ahead), 1000);
  }

  /** Takes the server's time from an answer. Seconds are all that the header has, so small differences are noise. */
  correct(date: string | null): void {
    if (!date) return;
    const ahead = Date.parse(date) - Date.now();
    this.ahead = Math.abs(ahead) < 2000 ? 0 : ahead;
  }
}

export const clock = new Clock();
