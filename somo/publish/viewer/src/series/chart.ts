/** Lines and bands of one cell, drawn by uPlot. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { DAY_MS } from "../format";

export interface Line {
  label: string;
  values: Float32Array;
  ink: string;
  width?: number;
  dash?: number[];
}

export interface Band {
  upper: Float32Array;
  lower: Float32Array;
  ink: string;
}

/** What a chart shows: [stamp] values of lines over bands, under one title for its axis. */
export interface Graph {
  axis: string;
  /** Days since 1970-01-01. */
  stamps: Int32Array;
  lines: Line[];
  bands: Band[];
  /** Horizontal lines, as class limits are. */
  levels?: number[];
  /** 1 at stamps behind which the ground of the chart is shaded. */
  shaded?: Float32Array;
}

interface Listeners {
  /** A day was clicked. */
  chosen(stamp: number): void;
  /** The pointer is over the i-th stamp, or over none. */
  over(index: number | null): void;
}

const SECONDS = DAY_MS / 1000;

/** Numbers along an axis. uPlot's own have three decimals, and narrow ranges the same number at several ticks. */
function tickTexts(_: uPlot, ticks: number[], _axis: number, _space: number, step: number): string[] {
  const decimals = Math.min(Math.max(-Math.floor(Math.log10(step)), 0), 6);
  // A step of 0.0025 has one decimal more than its first digit's place.
  const exact = Number(step.toFixed(decimals)) === Number(step.toPrecision(6)) ? decimals : decimals + 1;
  return ticks.map((tick) => tick.toFixed(exact));
}

export class Chart {
  private plot: uPlot | null = null;
  private graph: Graph | null = null;
  private marked = NaN;

  constructor(
    private readonly box: HTMLElement,
    private readonly listeners: Listeners,
  ) {
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.graph && this.show(this.graph));
  }

  show(graph: Graph | null): void {
    this.plot?.destroy();
    this.plot = null;
    this.graph = graph;
    if (!graph) return;
    this.plot = new uPlot(this.options(graph), this.data(graph), this.box);
    this.plot.root.setAttribute("aria-hidden", "true");
  }

  /** Put the vertical mark on a day. */
  mark(stamp: number): void {
    this.marked = stamp;
    this.plot?.redraw(false);
  }

  whole(): void {
    if (!this.plot || !this.graph) return;
    this.plot.setScale("x", { min: this.graph.stamps[0]! * SECONDS, max: this.graph.stamps.at(-1)! * SECONDS });
  }

  /** Show another stretch of days: narrower or wider about its middle. */
  zoom(factor: number): void {
    const { min, max } = this.plot?.scales["x"] ?? {};
    if (min == null || max == null) return;
    const [middle, half] = [(min + max) / 2, (max - min) / 2 / factor];
    const [first, last] = [this.graph!.stamps[0]! * SECONDS, this.graph!.stamps.at(-1)! * SECONDS];
    this.plot!.setScale("x", { min: Math.max(middle - half, first), max: Math.min(middle + half, last) });
  }

  get canvas(): HTMLCanvasElement | null {
    return this.plot?.ctx.canvas ?? null;
  }

  private size(): { width: number; height: number } {
    return { width: this.box.clientWidth, height: Math.max(this.box.clientHeight, 200) };
  }

  private data({ stamps, lines, bands }: Graph): uPlot.AlignedData {
    const holes = (values: Float32Array) => Array.from(values, (value) => (Number.isNaN(value) ? null : value));
    const edges = bands.flatMap(({ upper, lower }) => [holes(upper), holes(lower)]);
    return [Array.from(stamps, (stamp) => stamp * SECONDS), ...edges, ...lines.map(({ values }) => holes(values))];
  }

  private options({ axis, stamps, lines, bands, levels, shaded }: Graph): uPlot.Options {
    const ink = (name: string) => (name.startsWith("#") ? name : getComputedStyle(this.box).getPropertyValue(`--${name}`));
    const axes = { stroke: ink("ink"), grid: { stroke: ink("line"), width: 1 }, ticks: { stroke: ink("line"), width: 1 } };
    const edge = { stroke: "transparent", width: 0, points: { show: false } };
    return {
      ...this.size(),
      legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { drag: { x: true, y: false }, points: { size: 7 } },
      scales: { x: { time: true } },
      axes: [axes, { ...axes, label: axis, labelSize: 22, size: 52, values: tickTexts }],
      series: [
        {},
        ...bands.flatMap(() => [edge, edge]),
        ...lines.map(({ ink: name, width = 1.3, dash }) => ({ stroke: ink(name), width, ...(dash ? { dash } : {}), points: { show: false } })),
      ],
      bands: bands.map(({ ink: name }, i) => ({ series: [2 * i + 1, 2 * i + 2] as uPlot.Band.Bounds, fill: ink(name) })),
      hooks: {
        drawClear: [(plot) => shaded && this.shade(plot, stamps, shaded, ink("frost"))],
        draw: [(plot) => this.drawMarks(plot, levels ?? [], ink)],
        setCursor: [(plot) => this.listeners.over(plot.cursor.idx ?? null)],
        ready: [
          (plot) => {
            plot.over.addEventListener("click", () => {
              const at = plot.cursor.idx;
              if (at != null) this.listeners.chosen(plot.data[0]![at]! / SECONDS);
            });
            plot.over.addEventListener("dblclick", () => this.whole());
          },
        ],
      },
    };
  }

  /** Fill the ground of the chart from each shaded day to the next. */
  private shade(plot: uPlot, stamps: Int32Array, shaded: Float32Array, colour: string): void {
    const { ctx: c, bbox } = plot;
    c.save();
    c.beginPath();
    c.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    c.clip();
    c.fillStyle = colour;
    for (let i = 0; i < stamps.length; i++) {
      if (shaded[i] !== 1) continue;
      let last = i;
      while (shaded[last + 1] === 1) last++;
      const [left, right] = [stamps[i]!, stamps[last]! + 1].map((stamp) => plot.valToPos(stamp * SECONDS, "x", true));
      c.fillRect(left!, bbox.top, Math.max(right! - left!, 1), bbox.height);
      i = last;
    }
    c.restore();
  }

  private drawMarks(plot: uPlot, levels: number[], ink: (name: string) => string): void {
    const { ctx: c, bbox } = plot;
    c.save();
    c.beginPath();
    c.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    c.clip();
    c.lineWidth = window.devicePixelRatio;
    const rule = (x0: number, y0: number, x1: number, y1: number, colour: string) => {
      c.beginPath();
      c.moveTo(x0, y0);
      c.lineTo(x1, y1);
      c.strokeStyle = colour;
      c.stroke();
    };
    for (const level of levels) {
      const y = plot.valToPos(level, "y", true);
      rule(bbox.left, y, bbox.left + bbox.width, y, ink("soft"));
    }
    const x = plot.valToPos(this.marked * SECONDS, "x", true);
    if (Number.isFinite(x)) rule(x, bbox.top, x, bbox.top + bbox.height, ink("mark"));
    c.restore();
  }
}
