/** Quantities of the map and their colours. */

export type Quantity = "soil_moisture" | "soil_moisture_std" | "anomaly" | "drought_class";

export interface Scale {
  label: string;
  units: string;
  low: number;
  high: number;
  /** Colours at equal distances from low to high, or one per class. */
  stops: string[];
  classes?: string[];
  /** Spaces between the numbers of the colour bar. */
  spaces: number;
  digits: number;
}

export const SCALES: Record<Quantity, Scale> = {
  soil_moisture: {
    label: "Soil moisture",
    units: "m³ m⁻³",
    low: 0,
    high: 0.5,
    spaces: 5,
    stops: ["#5b3a1d", "#9c6b30", "#d2a867", "#efe0b3", "#c6dfc0", "#7fbfb0", "#3c8fa3", "#22608c", "#17305f"],
    digits: 3,
  },
  soil_moisture_std: {
    label: "Standard deviation of the ensemble",
    units: "m³ m⁻³",
    low: 0,
    high: 0.06,
    spaces: 6,
    stops: ["#fbf7ef", "#f3d9bd", "#e6a98f", "#cc6f77", "#9d3f6c", "#662156", "#2f0f35"],
    digits: 3,
  },
  anomaly: {
    label: "Standardised anomaly, 30 days",
    units: "standard deviations",
    low: -3,
    high: 3,
    spaces: 6,
    stops: ["#67300c", "#a8612a", "#d9a86c", "#f0dfc3", "#f6f4ef", "#cfe3e6", "#86b9cb", "#3f83a8", "#173f6b"],
    digits: 2,
  },
  drought_class: {
    label: "Drought class, 30 days",
    units: "percentile",
    low: 0,
    high: 5,
    spaces: 5,
    stops: ["#efede6", "#fdf07c", "#f6c667", "#ee8f3a", "#cf3b2b", "#6e0f1c"],
    classes: ["none", "D0 ≤ 30", "D1 ≤ 20", "D2 ≤ 10", "D3 ≤ 5", "D4 ≤ 2"],
    digits: 0,
  },
};

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

export function describe(scale: Scale, value: number): string {
  if (Number.isNaN(value)) return "no value";
  return scale.classes ? scale.classes[Math.round(value)]! : `${value.toFixed(scale.digits)} ${scale.units}`;
}

function parse(hex: string): number[] {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}
