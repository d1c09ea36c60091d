/* What has been said about the order of the answers, without a page: nothing at first, and nothing but what was said.

   A pair stands on a scale from -4 (the first is far better) through 0 (equal) to 4 (the second is far better). More
   answers each get a place from 1 (best); the same place is a tie, and gaps mean nothing. */

export class PairScale {
  constructor(askStrength) {
    this.askStrength = askStrength;
    this.point = null;
  }

  get points() { return this.askStrength ? [-4, -3, -2, -1, 0, 1, 2, 3, 4] : [-1, 0, 1]; }
  get complete() { return this.point !== null; }
  get touched() { return this.complete; }
  get strength() { return this.askStrength && this.point ? Math.abs(this.point) : null; }

  get tiers() {
    if (!this.complete) return null;
    if (this.point === 0) return [[0, 1]];
    return this.point < 0 ? [[0], [1]] : [[1], [0]];
  }

  set(point) { this.point = point; }

  /** One step left (-1) or right (1) from where it is, or from the middle. */
  step(direction) {
    const last = this.points.at(-1);
    this.point = Math.max(-last, Math.min(last, (this.point ?? 0) + direction));
  }

  restore({ tiers, strength }) {
    if (!tiers?.length) return;
    if (tiers.length === 1) this.point = 0;
    else this.point = (tiers[0][0] === 0 ? -1 : 1) * (this.askStrength ? strength ?? 1 : 1);
  }
}

export class Places {
  constructor(count) {
    this.places = Array(count).fill(null);
  }

  get complete() { return this.places.every((place) => place !== null); }
  get touched() { return this.places.some((place) => place !== null); }
  get strength() { return null; }
  get unplaced() { return this.places.flatMap((place, answer) => (place === null ? [answer] : [])); }

  /** Best first; only the answers placed so far. */
  get sofar() {
    const used = [...new Set(this.places.filter((place) => place !== null))].sort((a, b) => a - b);
    return used.map((place) => this.places.flatMap((p, answer) => (p === place ? [answer] : [])));
  }

  get tiers() { return this.complete ? this.sofar : null; }

  /** For each place, the answers that have it. */
  get byPlace() { return this.places.map((_, i) => this.places.flatMap((place, answer) => (place === i + 1 ? [answer] : []))); }

  put(answer, place) { this.places[answer] = place; }

  /** The next answer without a place after `answer`, round the end; null when all have one. */
  next(answer) {
    const open = this.unplaced;
    return open.find((other) => other > answer) ?? open[0] ?? null;
  }

  restore({ tiers, places }) {
    if (places?.length === this.places.length) this.places = [...places];
    else tiers?.forEach((tier, i) => tier.forEach((answer) => { this.places[answer] = i + 1; }));
  }
}
