// A list that is loaded page by page by its cursor: the first page anew on refresh, the others on request.

import { Resource } from "./resource.svelte";

export interface Part<Row> {
  rows: Row[];
  next?: string | null | undefined;
}

export class List<Row> {
  readonly first: Resource<Part<Row>>;
  private later = $state.raw<Row[]>([]);
  private cursor = $state<string | undefined>();

  /** load: the rows after a cursor, undefined for the first. Raises Failure. */
  constructor(private readonly load: (cursor: string | undefined, signal?: AbortSignal) => Promise<Part<Row>>) {
    this.first = new Resource((signal) => load(undefined, signal));
  }

  get rows(): Row[] {
    return [...(this.first.value?.rows ?? []), ...this.later];
  }

  get hasMore(): boolean {
    return this.cursor !== undefined;
  }

  /** Nothing is there, and that is known. */
  get isEmpty(): boolean {
    return this.first.value !== undefined && this.rows.length === 0;
  }

  async refresh(): Promise<void> {
    await this.first.refresh();
    this.later = [];
    this.cursor = this.first.value?.next ?? undefined;
  }

  async more(): Promise<void> {
    const part = await this.load(this.cursor);
    this.later = [...this.later, ...part.rows];
    this.cursor = part.next ?? undefined;
  }
}
