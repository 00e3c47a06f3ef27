/** Curves as an SVG drawing, readable on light and on dark pages. */

export interface Curve {
  readonly name: string
  readonly points: ReadonlyArray<{ readonly x: number; readonly y: number }>
}

export interface Drawing {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly curves: ReadonlyArray<Curve>
}

const width = 640
const height = 360
const left = 64
const right = 150
const top = 40
const bottom = 48

/** Distinguishable by people with any colour vision, on white and on black. */
const colours = ["#3b82f6", "#e07b00", "#17a673", "#c2417c", "#8a8a8a"]

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;")

/** The smallest of 1, 2 and 5 times a power of ten that divides the values into at most six steps. */
const stepOf = (most: number): number => {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1e-9) / 6))
  return power * ([1, 2, 5, 10].find((factor) => most / (power * factor) <= 6) ?? 10)
}

const ticksOf = (most: number): ReadonlyArray<number> => {
  const step = stepOf(most)
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, index) => index * step)
}

/** More points are a line without dots. */
const maxDots = 50

/** Axes begin at zero. Points that are not finite are left out. */
export function draw({ curves, title, x, y }: Drawing): string {
  const finite = curves.map(({ name, points }) => ({
    name,
    points: points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y))
  }))
  const all = finite.flatMap(({ points }) => points)
  const xs = ticksOf(Math.max(1, ...all.map((point) => point.x)))
  const ys = ticksOf(Math.max(1, ...all.map((point) => point.y)))
  const atX = (value: number) => left + (value / (xs.at(-1) ?? 1)) * (width - left - right)
  const atY = (value: number) => height - bottom - (value / (ys.at(-1) ?? 1)) * (height - top - bottom)
  const at = (point: { readonly x: number; readonly y: number }) =>
    `${atX(point.x).toFixed(1)},${atY(point.y).toFixed(1)}`
  const line = (x1: number, y1: number, x2: number, y2: number) =>
    `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"/>`
  const number = (value: number) => value.toLocaleString("en", { maximumFractionDigits: 2 })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">`,
    "<style>text{font:12px system-ui,sans-serif;fill:#1f2328}line{stroke:#8886;stroke-width:1}polyline{fill:none;stroke-width:2}",
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>",
    `<text x="${left}" y="22" font-weight="600">${escape(title)}</text>`,
    ...ys.map(
      (value) =>
        `${line(left, atY(value), width - right, atY(value))}<text x="${left - 8}" y="${(atY(value) + 4).toFixed(1)}" text-anchor="end">${number(value)}</text>`
    ),
    ...xs.map(
      (value) =>
        `<text x="${atX(value).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle">${number(value)}</text>`
    ),
    `<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle">${escape(x)}</text>`,
    `<text x="14" y="${(height - bottom + top) / 2}" text-anchor="middle" transform="rotate(-90 14 ${(height - bottom + top) / 2})">${escape(y)}</text>`,
    ...finite.flatMap(({ name, points }, index) => {
      const colour = colours[index % colours.length] ?? ""
      return [
        `<polyline stroke="${colour}" points="${points.map(at).join(" ")}"/>`,
        ...(points.length > maxDots ? [] : points).map(
          (point) => `<circle cx="${at(point).split(",").join('" cy="')}" r="3" fill="${colour}"/>`
        ),
        `<circle cx="${width - right + 16}" cy="${top + 8 + index * 20}" r="4" fill="${colour}"/>`,
        `<text x="${width - right + 26}" y="${top + 12 + index * 20}">${escape(name)}</text>`
      ]
    }),
    "</svg>",
    ""
  ].join("\n")
}
