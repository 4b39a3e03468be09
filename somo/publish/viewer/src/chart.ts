/** The series of one cell: daily line, band of two standard deviations, climatology. */

import { isoDate, type Series } from "./data";

const PAD = { left: 44, right: 12, top: 24, bottom: 24 };
const LINE = "#17567d";
const BAND = "rgba(23, 86, 125, 0.18)";
const CLIMATE = "#9c6b30";

export class Chart {
  private readonly context: CanvasRenderingContext2D;
  private series: Series | null = null;
  private days: Int32Array = new Int32Array(0);
  private normal: Float32Array | null = null;
  private from = 0;
  private to = 1;
  day = 0;

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d")!;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(series: Series, days: Int32Array): void {
    const former = this.days.length;
    this.series = series;
    this.days = days;
    this.normal = climatology(series, days);
    if (former !== days.length) this.whole();
    this.draw();
  }

  whole(): void {
    this.from = 0;
    this.to = Math.max(this.days.length - 1, 1);
    this.draw();
  }

  /** Climatological mean of every day, or null without one. */
  get climate(): Float32Array | null {
    return this.normal;
  }

  dayAt(x: number): number {
    const share = (x - PAD.left) / (this.canvas.clientWidth - PAD.left - PAD.right);
    const day = Math.round(this.from + share * (this.to - this.from));
    return Math.min(Math.max(day, 0), this.days.length - 1);
  }

  zoomAt(factor: number, x = this.canvas.clientWidth / 2): void {
    const about = this.dayAt(x);
    const span = Math.min(Math.max((this.to - this.from) / factor, 20), this.days.length - 1);
    const share = (about - this.from) / (this.to - this.from);
    this.move(about - share * span, span);
  }

  pan(dx: number): void {
    const span = this.to - this.from;
    this.move(this.from - (dx / (this.canvas.clientWidth - PAD.left - PAD.right)) * span, span);
  }

  private move(from: number, span: number): void {
    this.from = Math.min(Math.max(from, 0), Math.max(this.days.length - 1 - span, 0));
    this.to = this.from + span;
    this.draw();
  }

  draw(): void {
    const ratio = window.devicePixelRatio;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const c = this.context;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!this.series) return;
    const first = Math.floor(this.from);
    const last = Math.min(Math.ceil(this.to), this.days.length - 1);
    const [low, high] = this.range(first, last);
    const x = (day: number) =>
      PAD.left + ((day - this.from) / (this.to - this.from)) * (width - PAD.left - PAD.right);
    const y = (value: number) => height - PAD.bottom - ((value - low) / (high - low)) * (height - PAD.top - PAD.bottom);
    this.axes(x, y, low, high, width, height);
    c.save();
    c.beginPath();
    c.rect(PAD.left, 0, width - PAD.left - PAD.right, height - PAD.bottom);
    c.clip();
    this.band(first, last, x, y);
    if (this.normal) this.line(this.normal, first, last, x, y, CLIMATE, 1.2, [5, 3]);
    this.line(this.series.mean, first, last, x, y, LINE, 1.3, []);
    c.beginPath();
    c.moveTo(x(this.day), PAD.top);
    c.lineTo(x(this.day), height - PAD.bottom);
    c.strokeStyle = "#b3003c";
    c.lineWidth = 1;
    c.stroke();
    c.restore();
  }

  private range(first: number, last: number): [number, number] {
    let [low, high] = [Infinity, -Infinity];
    const { mean, std } = this.series!;
    for (let i = first; i <= last; i++) {
      const spread = 2 * (std[i] || 0);
      if (mean[i]! - spread < low) low = mean[i]! - spread;
      if (mean[i]! + spread > high) high = mean[i]! + spread;
    }
    if (low > high) return [0, 0.5];
    const margin = Math.max((high - low) * 0.05, 0.005);
    return [Math.max(low - margin, 0), high + margin];
  }

  private axes(
    x: (day: number) => number,
    y: (value: number) => number,
    low: number,
    high: number,
    width: number,
    height: number,
  ): void {
    const c = this.context;
    c.font = "11px system-ui, sans-serif";
    c.fillStyle = "#4a5260";
    c.strokeStyle = "#e3e6ea";
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((s) => (high - low) / s <= 6) ?? 0.5;
    for (let v = Math.ceil(low / step) * step; v <= high; v += step) {
      rule(c, PAD.left, y(v), width - PAD.right, y(v));
      c.fillText(v.toFixed(2), PAD.left - 6, y(v));
    }
    c.textAlign = "left";
    c.textBaseline = "top";
    c.fillText("soil moisture [m³ m⁻³]", 2, 4);
    c.textAlign = "center";
    for (const [day, text] of ticks(this.days, this.from, this.to, width)) {
      rule(c, x(day), PAD.top, x(day), height - PAD.bottom);
      c.fillText(text, x(day), height - PAD.bottom + 6);
    }
  }

  private band(first: number, last: number, x: (d: number) => number, y: (v: number) => number): void {
    const c = this.context;
    const { mean, std } = this.series!;
    c.beginPath();
    for (let i = first; i <= last; i++) if (!Number.isNaN(mean[i]!)) c.lineTo(x(i), y(mean[i]! + 2 * std[i]!));
    for (let i = last; i >= first; i--) if (!Number.isNaN(mean[i]!)) c.lineTo(x(i), y(mean[i]! - 2 * std[i]!));
    c.fillStyle = BAND;
    c.fill();
  }

  private line(
    values: Float32Array,
    first: number,
    last: number,
    x: (d: number) => number,
    y: (v: number) => number,
    colour: string,
    width: number,
    dash: number[],
  ): void {
    const c = this.context;
    c.beginPath();
    let open = false;
    for (let i = first; i <= last; i++) {
      const value = values[i]!;
      if (Number.isNaN(value)) open = false;
      else {
        c[open ? "lineTo" : "moveTo"](x(i), y(value));
        open = true;
      }
    }
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.lineJoin = "round";
    c.stroke();
    c.setLineDash([]);
  }
}

/** The climatology of window means drawn through the year: the value of a window stands at its middle. */
function climatology(series: Series, days: Int32Array): Float32Array | null {
  const climate = series.climate;
  if (!climate || Number.isNaN(climate.mean[0]!)) return null;
  const step = climate.day.length > 1 ? climate.day[1]! - climate.day[0]! : 10;
  const middle = Array.from(climate.day, (end) => end - 15);
  return Float32Array.from(days, (day) => {
    const start = Date.UTC(Number(isoDate(day).slice(0, 4)), 0, 0) / 86_400_000;
    const at = (day - start - middle[0]!) / step;
    const n = middle.length;
    const left = Math.floor(at);
    const share = at - left;
    const value = (i: number) => climate.mean[((i % n) + n) % n]!;
    return value(left) * (1 - share) + value(left + 1) * share;
  });
}

/** Days at which years, months or single days begin, with their names, as many as there is room for. */
function ticks(days: Int32Array, from: number, to: number, width: number): [number, string][] {
  const room = Math.max(Math.floor((width - PAD.left - PAD.right) / 62), 2);
  const span = to - from;
  const found: [number, string][] = [];
  const months = [1, 3, 6, 12, 24, 60].find((m) => span / (m * 30.4) <= room) ?? 120;
  const start = new Date(days[Math.floor(from)]! * 86_400_000);
  const first = start.getUTCFullYear() * 12 + start.getUTCMonth();
  for (let m = Math.floor(first / months) * months; ; m += months) {
    const at = Date.UTC(Math.floor(m / 12), m % 12, 1) / 86_400_000 - days[0]!;
    if (at > to) return found;
    const name = months >= 12 || m % 12 === 0 ? `${Math.floor(m / 12)}` : MONTHS[m % 12]!;
    if (at >= from) found.push([at, name]);
  }
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function rule(c: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}
