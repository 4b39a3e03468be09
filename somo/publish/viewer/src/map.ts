/** The map: a canvas in plate carrée, stretched so that shapes hold at its middle latitude. */

import { place, type Scale, table } from "./colours";
import type { Lines } from "./coast";
import type { Axes } from "./data";

export interface Cell {
  row: number;
  column: number;
}

export class GridMap {
  private readonly context: CanvasRenderingContext2D;
  private readonly picture = document.createElement("canvas");
  private readonly box: { west: number; south: number; east: number; north: number };
  private readonly stretch: number;
  private readonly regular: boolean;
  private values: Float32Array | null = null;
  private scale: Scale | null = null;
  private lines: Lines = { coast: [], borders: [] };
  private zoom = 1;
  private centre: [number, number];
  cursor: Cell | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly axes: Axes,
  ) {
    this.context = canvas.getContext("2d")!;
    const [lat, lon] = [axes.latBounds, axes.lonBounds];
    this.box = { west: Math.min(...lon), east: Math.max(...lon), south: Math.min(...lat), north: Math.max(...lat) };
    this.centre = [(this.box.west + this.box.east) / 2, (this.box.south + this.box.north) / 2];
    this.stretch = 1 / Math.cos((this.centre[1] * Math.PI) / 180);
    this.regular = isRegular(axes.lat) && isRegular(axes.lon);
    this.picture.width = axes.lon.length;
    this.picture.height = axes.lat.length;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  get extent(): [number, number, number, number] {
    return [this.box.west, this.box.south, this.box.east, this.box.north];
  }

  get view(): { zoom: number; lon: number; lat: number } {
    return { zoom: this.zoom, lon: this.centre[0], lat: this.centre[1] };
  }

  set view(view: { zoom: number; lon: number; lat: number }) {
    this.zoom = Math.min(Math.max(view.zoom, 1), 40);
    this.centre = [
      Math.min(Math.max(view.lon, this.box.west), this.box.east),
      Math.min(Math.max(view.lat, this.box.south), this.box.north),
    ];
    if (this.zoom === 1) this.centre = [(this.box.west + this.box.east) / 2, (this.box.south + this.box.north) / 2];
    this.draw();
  }

  setLines(lines: Lines): void {
    this.lines = lines;
    this.draw();
  }

  show(values: Float32Array, scale: Scale): void {
    this.values = values;
    this.scale = scale;
    const pixels = new ImageData(this.picture.width, this.picture.height);
    const out = new Uint32Array(pixels.data.buffer);
    const colours = table(scale);
    const up = this.axes.lat[0]! < this.axes.lat.at(-1)!;
    const [rows, columns] = [this.axes.lat.length, this.axes.lon.length];
    for (let row = 0; row < rows; row++) {
      const line = (up ? rows - 1 - row : row) * columns;
      for (let column = 0; column < columns; column++) {
        const value = values[row * columns + column]!;
        if (!Number.isNaN(value)) out[line + column] = colours[place(scale, value)]!;
      }
    }
    this.picture.getContext("2d")!.putImageData(pixels, 0, 0);
    this.draw();
  }

  value(cell: Cell): number {
    return this.values?.[cell.row * this.axes.lon.length + cell.column] ?? NaN;
  }

  /** The cell under a point of the canvas, in CSS pixels. */
  cellAt(x: number, y: number): Cell | null {
    const { scale, left, top } = this.frame();
    const lon = left + x / scale;
    const lat = top - y / (scale * this.stretch);
    const row = within(this.axes.latBounds, lat);
    const column = within(this.axes.lonBounds, lon);
    return row < 0 || column < 0 ? null : { row, column };
  }

  /** Zoom by a factor about a point of the canvas. */
  zoomAt(factor: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    const before = this.frame();
    const [lon, lat] = [before.left + x / before.scale, before.top - y / (before.scale * this.stretch)];
    const zoom = Math.min(Math.max(this.zoom * factor, 1), 40);
    const share = this.zoom / zoom;
    this.view = {
      zoom,
      lon: lon + (this.centre[0] - lon) * share,
      lat: lat + (this.centre[1] - lat) * share,
    };
  }

  pan(dx: number, dy: number): void {
    const { scale } = this.frame();
    const view = this.view;
    this.view = { ...view, lon: view.lon - dx / scale, lat: view.lat + dy / (scale * this.stretch) };
  }

  /** CSS pixels per degree of longitude, and the corner of the canvas in degrees. */
  private frame(): { scale: number; left: number; top: number } {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const fit = Math.min(
      width / (this.box.east - this.box.west),
      height / ((this.box.north - this.box.south) * this.stretch),
    );
    const scale = fit * this.zoom;
    return {
      scale,
      left: this.centre[0] - width / (2 * scale),
      top: this.centre[1] + height / (2 * scale * this.stretch),
    };
  }

  draw(): void {
    const ratio = window.devicePixelRatio;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    if (this.canvas.width !== width * ratio || this.canvas.height !== height * ratio) {
      this.canvas.width = width * ratio;
      this.canvas.height = height * ratio;
    }
    const c = this.context;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    const { scale, left, top } = this.frame();
    const x = (lon: number) => (lon - left) * scale;
    const y = (lat: number) => (top - lat) * scale * this.stretch;
    if (this.values) this.drawCells(x, y);
    this.trace(this.lines.borders, x, y, "rgba(40, 44, 52, 0.35)", 0.6);
    this.trace(this.lines.coast, x, y, "rgba(30, 36, 46, 0.8)", 0.8);
    if (this.cursor) this.outline(this.cursor, x, y);
  }

  private drawCells(x: (lon: number) => number, y: (lat: number) => number): void {
    const c = this.context;
    c.imageSmoothingEnabled = false;
    if (this.regular) {
      const [west, north] = [x(this.box.west), y(this.box.north)];
      c.drawImage(this.picture, west, north, x(this.box.east) - west, y(this.box.south) - north);
      return;
    }
    const colours = table(this.scale!);
    const [{ latBounds, lonBounds }, columns] = [this.axes, this.axes.lon.length];
    for (let row = 0; row < this.axes.lat.length; row++) {
      for (let column = 0; column < columns; column++) {
        const value = this.values![row * columns + column]!;
        if (Number.isNaN(value)) continue;
        const colour = colours[place(this.scale!, value)]!;
        c.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
        const [x0, x1] = [x(lonBounds[2 * column]!), x(lonBounds[2 * column + 1]!)];
        const [y0, y1] = [y(latBounds[2 * row]!), y(latBounds[2 * row + 1]!)];
        const [w, h] = [Math.max(Math.abs(x1 - x0), 3), Math.max(Math.abs(y1 - y0), 3)];
        c.fillRect((x0 + x1 - w) / 2, (y0 + y1 - h) / 2, w, h);
      }
    }
  }

  private trace(
    lines: number[][][],
    x: (lon: number) => number,
    y: (lat: number) => number,
    colour: string,
    width: number,
  ): void {
    const c = this.context;
    c.beginPath();
    for (const line of lines) line.forEach(([lon, lat], i) => c[i ? "lineTo" : "moveTo"](x(lon!), y(lat!)));
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.stroke();
  }

  private outline({ row, column }: Cell, x: (lon: number) => number, y: (lat: number) => number): void {
    const c = this.context;
    const [cx, cy] = [x(this.axes.lon[column]!), y(this.axes.lat[row]!)];
    for (const [colour, width] of [["#ffffff", 4], ["#b3003c", 2]] as const) {
      c.beginPath();
      c.arc(cx, cy, 7, 0, 2 * Math.PI);
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.stroke();
    }
  }
}

function isRegular(axis: Float64Array): boolean {
  const step = axis[1]! - axis[0]!;
  return axis.length < 2 || axis.every((v, i) => i === 0 || Math.abs(v - axis[i - 1]! - step) < 1e-4);
}

/** Index of the interval of flat bounds that holds a value; -1 if none does. */
function within(bounds: Float64Array, value: number): number {
  for (let i = 0; i < bounds.length / 2; i++) {
    const [a, b] = [bounds[2 * i]!, bounds[2 * i + 1]!];
    if (value >= Math.min(a, b) && value <= Math.max(a, b)) return i;
  }
  return -1;
}
