// Changes that the API sends as server-sent events, such as those of a bucket; read with fetch, which can send the key.

import { headers } from "../api/client";

const AGAIN_MS = 3000;

/** Calls `changed` with each frame until the returned function is called; connects again by itself. */
export function watch(address: string, changed: (frame: unknown) => void): () => void {
  const aborted = new AbortController();
  void follow(address, changed, aborted.signal);
  return () => aborted.abort();
}

async function follow(address: string, changed: (frame: unknown) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const response = await fetch(address, { headers: { ...headers(), Accept: "text/event-stream" }, signal });
      // A refusal does not change by itself; requests of the page show it.
      if (response.status >= 400 && response.status < 500) return;
      if (response.ok && response.body) await read(response.body, changed);
    } catch {
      if (signal.aborted) return;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

async function read(body: ReadableStream<Uint8Array>, changed: (frame: unknown) => void): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("data: ")) changed(JSON.parse(line.slice(6)));
  }
}
