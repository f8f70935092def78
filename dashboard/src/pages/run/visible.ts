// Which rows of a long list are in the document. Pure.

/** Rows beyond the edges of the view, so that a turn of the wheel finds them drawn. */
const BEYOND = 10;

export interface Window<Item> {
  items: Item[];
  /** The place of the first of them in the whole list. */
  first: number;
  /** How many elements draw rows: the row at a place is drawn by the element `place % pool`. */
  pool: number;
}

/**
 * The rows around those in sight. An element whose row left the window draws one that came: elements are neither made
 * nor thrown away while the list is scrolled. top, height: of the view, in pixels; each: the height of a row.
 */
export function inSight<Item>(all: Item[], top: number, height: number, each: number): Window<Item> {
  const pool = Math.ceil(height / each) + 2 * BEYOND;
  const first = Math.max(0, Math.min(Math.floor(top / each) - BEYOND, all.length - pool));
  return { items: all.slice(first, first + pool), first, pool };
}
