// Time to place on the timeline, with long idle stretches folded. Pure.

export interface Stretch {
  from: number;
  to: number;
}
export interface Fold extends Stretch {
  /** Where the fold is drawn, as fractions of the width. */
  left: number;
  right: number;
}
interface Piece extends Stretch {
  left: number;
  right: number;
}

/** The part of the width that one fold takes. */
const FOLD_WIDTH = 0.05;
/** An idle stretch that would take more than this part of the width is folded. */
const IDLE_MAX = 0.2;

/** From moments (ms) to fractions of the width, and back. It is linear between folds. */
export class Scale {
  readonly folds: Fold[];

  /** pieces: stretches of time that follow each other, each with its part of the width. */
  constructor(private readonly pieces: Piece[], isFold: (piece: Piece) => boolean) {
    this.folds = pieces.filter(isFold);
  }

  get from(): number {
    return this.pieces[0]!.from;
  }

  get to(): number {
    return this.pieces.at(-1)!.to;
  }

  /** The fraction for a moment; 0 and 1 for moments outside. */
  place(at: number): number {
    if (at <= this.from) return 0;
    for (const piece of this.pieces) {
      if (at <= piece.to) return piece.left + ((at - piece.from) / Math.max(1, piece.to - piece.from)) * (piece.right - piece.left);
    }
    return 1;
  }

  /** The moment at a fraction. */
  moment(place: number): number {
    for (const piece of this.pieces) {
      if (place <= piece.right) return piece.from + (Math.max(0, place - piece.left) / (piece.right - piece.left)) * (piece.to - piece.from);
    }
    return this.to;
  }
}

/** The stretches of `within` that no busy one covers, in order. */
export function idle(busy: Stretch[], within: Stretch): Stretch[] {
  const gaps: Stretch[] = [];
  let at = within.from;
  for (const each of [...busy].sort((a, b) => a.from - b.from)) {
    if (each.from > at) gaps.push({ from: at, to: Math.min(each.from, within.to) });
    at = Math.max(at, each.to);
    if (at >= within.to) return gaps;
  }
  if (at < within.to) gaps.push({ from: at, to: within.to });
  return gaps;
}

/**
 * The scale of a view. busy: what must stay to scale. opened: starts of folds that a person opened.
 * The longest gap is folded first, until none takes more than a fifth of what is left.
 */
export function scale(busy: Stretch[], within: Stretch, opened: ReadonlySet<number> = new Set()): Scale {
  const gaps = idle(busy, within).sort((a, b) => b.to - b.from - (a.to - a.from));
  const folded: Stretch[] = [];
  let left = Math.max(1, within.to - within.from);
  for (const gap of gaps) {
    const length = gap.to - gap.from;
    if (length <= left * IDLE_MAX || length < 1000) break;
    if (opened.has(gap.from)) continue;
    folded.push(gap);
    left -= length;
  }
  folded.sort((a, b) => a.from - b.from);
  const wide = 1 - folded.length * FOLD_WIDTH;
  const pieces: Piece[] = [];
  let at = within.from;
  let place = 0;
  const add = (to: number, width: number): void => {
    pieces.push({ from: at, to, left: place, right: place + width });
    at = to;
    place += width;
  };
  for (const fold of folded) {
    if (fold.from > at) add(fold.from, ((fold.from - at) / Math.max(1, left)) * wide);
    add(fold.to, FOLD_WIDTH);
  }
  if (at < within.to || pieces.length === 0) add(Math.max(within.to, at + 1), 1 - place);
  const starts = new Set(folded.map((fold) => fold.from));
  return new Scale(pieces, (piece) => starts.has(piece.from));
}

/** Round moments for the ruler, at most `most` of them, as spans since the start. */
export function ticks(of: Scale, most: number): number[] {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 14_400_000, 43_200_000, 86_400_000, 604_800_000];
  const shown = of.to - of.from - of.folds.reduce((sum, fold) => sum + fold.to - fold.from, 0);
  const step = steps.find((each) => shown / each <= most) ?? shown / most;
  const found: number[] = [];
  for (let at = of.from; at <= of.to && found.length < most * 2; at += step) {
    const fold = of.folds.find((each) => at > each.from && at < each.to);
    if (fold) at += Math.floor((fold.to - at) / step) * step;
    else found.push(at);
  }
  return found;
}
