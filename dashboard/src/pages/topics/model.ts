// Topics: the newest messages of one, bounded. Pure.

export interface Message {
  id: string;
  data: unknown;
  at: string;
}

export const MESSAGES_MAX = 200;

/** Newest first, each once: a connection that is made anew sends some again. */
export function merged(before: Message[], newer: Message[]): Message[] {
  const known = new Set(before.map((message) => message.id));
  const added: Message[] = [];
  for (const message of newer) {
    if (known.has(message.id)) continue;
    known.add(message.id);
    added.push(message);
  }
  return [...added.toReversed(), ...before].slice(0, MESSAGES_MAX);
}

/** Which topics hold this text. */
export function matching<Topic extends { name: string }>(topics: Topic[], text: string): Topic[] {
  const low = text.trim().toLowerCase();
  return topics.filter((topic) => topic.name.toLowerCase().includes(low));
}
