/** Quantities of the map and their colours. */

export type Quantity =
  | "soil_moisture"
  | "soil_moisture_uncertainty"
  | "soil_moisture_std"
  | "anomaly"
  | "drought_class"
  | `probability_d${0 | 1 | 2 | 3 | 4}`
  | "frozen"
  | "applicability"
  | "dissimilarity";

export interface Scale {
  label: string;
  units: string;
  low: number;
  high: number;
  /** Colours at equal distances from low to high, or one per class. */
  stops: string[];
  classes?: string[];
  digits: number;
  /** The numbers at the ends are taken from the values unless somebody sets them. */
  fitted?: boolean;
  /** Of a window of days, not of one day. */
  byWindow?: boolean;
  /** Of a cell, whatever the day. */
  always?: boolean;
  /** Of the surface, whatever the layer. */
  surface?: boolean;
}

const REDS = ["#f7f4ec", "#fbe3c0", "#f6bf87", "#ea8a55", "#cf4f38", "#9a1f2c", "#56081d"];
const PURPLES = ["#fbf7ef", "#f3d9bd", "#e6a98f", "#cc6f77", "#9d3f6c", "#662156", "#2f0f35"];

function probability(name: string): Scale {
  return {
    label: `Probability of ${name}`,
    units: "",
    low: 0,
    high: 1,
    byWindow: true,
    stops: REDS,
    digits: 2,
  };
}

export const SCALES: Record<Quantity, Scale> = {
  soil_moisture: {
    label: "Soil moisture",
    units: "m³ m⁻³",
    low: 0,
    high: 0.5,
    fitted: true,
    stops: ["#5b3a1d", "#9c6b30", "#d2a867", "#efe0b3", "#c6dfc0", "#7fbfb0", "#3c8fa3", "#22608c", "#17305f"],
    digits: 3,
  },
  soil_moisture_uncertainty: {
    label: "Standard uncertainty",
    units: "m³ m⁻³",
    low: 0,
    high: 0.1,
    fitted: true,
    stops: PURPLES,
    digits: 3,
  },
  soil_moisture_std: {
    label: "Spread of the ensemble",
    units: "m³ m⁻³",
    low: 0,
    high: 0.06,
    fitted: true,
    stops: PURPLES,
    digits: 3,
  },
  anomaly: {
    label: "Standardised anomaly",
    units: "standard deviations",
    low: -3,
    high: 3,
    byWindow: true,
    stops: ["#67300c", "#a8612a", "#d9a86c", "#f0dfc3", "#f6f4ef", "#cfe3e6", "#86b9cb", "#3f83a8", "#173f6b"],
    digits: 2,
  },
  drought_class: {
    label: "Drought class",
    units: "percentile",
    low: 0,
    high: 5,
    byWindow: true,
    stops: ["#dfe5d8", "#fdf07c", "#f6c667", "#ee8f3a", "#cf3b2b", "#6e0f1c"],
    classes: ["none", "D0 ≤ 30", "D1 ≤ 20", "D2 ≤ 10", "D3 ≤ 5", "D4 ≤ 2"],
    digits: 0,
  },
  probability_d0: probability("D0 or drier"),
  probability_d1: probability("D1 or drier"),
  probability_d2: probability("D2 or drier"),
  probability_d3: probability("D3 or drier"),
  probability_d4: probability("D4"),
  frozen: {
    label: "Frozen ground",
    units: "yes or no",
    low: 0,
    high: 1,
    surface: true,
    stops: ["#d9cbb2", "#5a8fc7"],
    classes: ["not frozen", "frozen: take values with care"],
    digits: 0,
  },
  applicability: {
    label: "Like the cells the model was trained on",
    units: "yes or no",
    low: 0,
    high: 1,
    always: true,
    stops: ["#d08c60", "#5c8a78"],
    classes: ["unlike: take values with care", "like"],
    digits: 0,
  },
  dissimilarity: {
    label: "Dissimilarity to the training cells",
    units: "1",
    low: 0,
    high: 2,
    fitted: true,
    always: true,
    stops: PURPLES,
    digits: 2,
  },
};

export const QUANTITIES = Object.keys(SCALES) as Quantity[];

/** Round numbers that hold all but the outermost hundredth of the values at either end; null without values. */
export function fit(values: Float32Array): [number, number] | null {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  if (!sorted.length) return null;
  const [low, high] = [0.01, 0.99].map((share) => sorted[Math.floor(share * (sorted.length - 1))]!) as [number, number];
  const step = 10 ** Math.floor(Math.log10(Math.max(high - low, 1e-4))) / 2;
  const ends = [Math.floor(low / step) * step, Math.ceil(high / step) * step].map((end) => Number(end.toFixed(6)));
  return ends[0]! < ends[1]! ? [ends[0]!, ends[1]!] : [ends[0]!, ends[0]! + step];
}

/** Ends that were fitted to one map, moved apart where more than a hundredth of another one's values lie beyond one. */
export function widened(ends: [number, number], values: Float32Array): [number, number] {
  let [count, below, above] = [0, 0, 0];
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    count++;
    if (value < ends[0]) below++;
    else if (value > ends[1]) above++;
  }
  const own = Math.max(below, above) > count / 100 ? fit(values) : null;
  return own ? [Math.min(ends[0], own[0]), Math.max(ends[1], own[1])] : ends;
}

const STEPS = 512;

/** 512 colours from low to high as 0xAABBGGRR, the byte order of canvas pixels. */
export function table(scale: Scale): Uint32Array {
  const rgb = scale.stops.map(parse);
  const colours = new Uint32Array(STEPS);
  for (let i = 0; i < STEPS; i++) {
    const at = (i / (STEPS - 1)) * (rgb.length - 1);
    const left = scale.classes ? Math.round(at) : Math.min(Math.floor(at), rgb.length - 2);
    const share = scale.classes ? 0 : at - left;
    const [r, g, b] = [0, 1, 2].map((k) => {
      const from = rgb[left]![k]!;
      return Math.round(from + share * ((rgb[left + 1] ?? rgb[left]!)[k]! - from));
    });
    colours[i] = (255 << 24) | (b! << 16) | (g! << 8) | r!;
  }
  return colours;
}

/** Place of a value in a table of colours. */
export function place(scale: Scale, value: number): number {
  const share = (value - scale.low) / (scale.high - scale.low);
  return Math.round(Math.min(Math.max(share, 0), 1) * (STEPS - 1));
}

/** A number beside a colour bar: with four digits the quarters between round ends are hardly rounded. */
export function markText(value: number): string {
  return String(Number(value.toPrecision(4)));
}

export function describe(scale: Scale, value: number): string {
  if (Number.isNaN(value)) return "no value";
  const units = scale.units === "1" ? "" : scale.units;
  return scale.classes ? scale.classes[Math.round(value)]! : `${value.toFixed(scale.digits)} ${units}`.trim();
}

function parse(hex: string): number[] {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}
