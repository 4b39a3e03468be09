/**
 * Drought of one cell, computed from its series by the formulas of `somo/publish/store/drought_index.py`: reading the
 * stored maps of every window would take hundreds of objects for one line.
 */

import { DAY_MS } from "../format";
import type { Windows } from "./version";

/** Mean over each window that lies wholly in the series; NaN where a day is missing. */
export function windowMeans(values: Float32Array, days: Int32Array, { ends, days: length }: Windows): Float32Array {
  return Float32Array.from(ends, (end) => {
    const last = end - days[0]!;
    let sum = 0;
    for (let i = last - length + 1; i <= last; i++) sum += values[i] ?? NaN;
    return sum / length;
  });
}

/** Number of each window within its year, from 0. */
function seasonsOf({ ends, season }: Windows): Int32Array {
  return ends.map((end) => {
    const year = new Date(end * DAY_MS).getUTCFullYear();
    return season.indexOf(end - Date.UTC(year, 0, 0) / DAY_MS);
  });
}

/** (window - mean of the base years' windows of its season) / their standard deviation; NaN where nothing varies. */
export function anomalies(means: Float32Array, windows: Windows): Float32Array {
  const season = seasonsOf(windows);
  const inBase = baseOf(windows);
  return means.map((mean, i) => {
    const years = means.filter((_, j) => inBase[j] && season[j] === season[i]);
    const usual = years.reduce((sum, value) => sum + value, 0) / years.length;
    const variance = years.reduce((sum, value) => sum + (value - usual) ** 2, 0) / (years.length - 1);
    return variance > 0 ? (mean - usual) / Math.sqrt(variance) : NaN;
  });
}

/** Percent at or below which a window is in class D0 to D4. */
export const CLASS_PERCENT = [30, 20, 10, 5, 2];

/**
 * Probability that each window is in a class or a drier one: the standard normal distribution of the distance to the
 * class's border over the window's uncertainty.
 */
export function classProbabilities(means: Float32Array, sigma: Float32Array, percent: number, windows: Windows): Float32Array {
  const season = seasonsOf(windows);
  const count = windows.season.length;
  const inBase = baseOf(windows);
  const borders = Array.from({ length: count }, (_, own) => {
    const near = (s: number) => [0, 1, count - 1].includes((s - own + count) % count);
    return border(Array.from(means.filter((mean, j) => inBase[j] && near(season[j]!) && !Number.isNaN(mean))), percent);
  });
  return means.map((mean, i) => normal((borders[season[i]!]! - mean) / sigma[i]!));
}

/**
 * The value whose plotting position 100 r / (n + 1) is a percentage, at least the lowest; below all of them r is 1/2, so
 * that fewer than 24 never tell 2 percent: no window is in such a class.
 */
function border(sample: number[], percent: number): number {
  if (sample.length && 50 / (sample.length + 1) > percent) return -Infinity;
  const ordered = sample.sort((a, b) => a - b);
  const rank = Math.min(Math.max((percent / 100) * (ordered.length + 1) - 1, 0), ordered.length - 1);
  const low = Math.floor(rank);
  const high = Math.min(low + 1, ordered.length - 1);
  return ordered[low]! + (rank - low) * (ordered[high]! - ordered[low]!);
}

/** Standard normal distribution function, to 1e-7 (Abramowitz and Stegun 26.2.17). */
function normal(x: number): number {
  if (Number.isNaN(x)) return NaN;
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
  return x > 0 ? 1 - tail : tail;
}

/** Whether each window belongs to the base period. */
function baseOf({ ends, base }: Windows): Uint8Array {
  return Uint8Array.from(ends, (end) => Number(end >= base[0] && end <= base[1]));
}

/** Rank among the base period's windows of the same and the neighbouring seasons: 100 r / (n + 1), mid-ranks for ties. */
export function percentiles(means: Float32Array, windows: Windows): Float32Array {
  const season = seasonsOf(windows);
  const count = windows.season.length;
  const inBase = baseOf(windows);
  return means.map((mean, i) => {
    if (Number.isNaN(mean)) return NaN;
    let [below, equal, size] = [0, 0, 0];
    for (let j = 0; j < means.length; j++) {
      const apart = (season[j]! - season[i]! + count) % count;
      if (!inBase[j] || (apart > 1 && apart < count - 1) || Number.isNaN(means[j]!)) continue;
      size++;
      if (means[j]! < mean) below++;
      else if (means[j]! === mean) equal++;
    }
    return size ? (100 * (below + (equal + 1) / 2)) / (size + 1) : NaN;
  });
}
