/**
 * Charts as SVG text, drawn by ECharts without a browser: panels above each other that share the axis below. The same
 * data gives the same text.
 */
import { LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

use([GridComponent, LegendComponent, LineChart, ScatterChart, SVGRenderer, TitleComponent])

/** A point, or `null` where a line is interrupted. */
export type Point = readonly [x: number, y: number | null]

export interface Series {
  name: string
  points: readonly Point[]
  /** Lines by default; `step`: each value holds until the next. */
  as?: 'line' | 'step' | 'dots'
  color: string
  dashed?: boolean
  /** Of a line, or of a dot. */
  width?: number
  opacity?: number
}

export interface Panel {
  /** Above it. */
  name?: string
  /** What its y axis shows, with its unit. */
  label: string
  series: readonly Series[]
  height?: number
  max?: number
  min?: number
  /** Rows with names instead of a scale: the y of a point is the number of its row. */
  rows?: readonly string[]
}

export interface Chart {
  title: string
  subtitle?: string
  /** What the axis below shows. */
  label: string
  panels: readonly Panel[]
  width?: number
  from?: number
  to: number
  /** Names instead of a scale below: the x of a point is the number of its column, or near it. */
  columns?: readonly string[]
}

/** Colours that people who see few can tell apart (Okabe and Ito, 2008). */
export const COLORS = {
  blue: '#0072b2',
  orange: '#d55e00',
  green: '#009e73',
  purple: '#cc79a7',
  sky: '#56b4e9',
  amber: '#e69f00',
  grey: '#888888',
  black: '#222222',
} as const

const LEFT = 78
const RIGHT = 16
const TOP = 62
const GAP = 46
const BOTTOM = 44
const TEXT = '#333333'

export function draw(chart: Chart): string {
  const { title, subtitle = '', label, panels, width = 860, from = 0, to, columns } = chart
  const heights = panels.map(({ height = 150 }) => height)
  const top = panels[0]?.name === undefined ? TOP : TOP + 20
  const tops = heights.map((_, i) => top + heights.slice(0, i).reduce((sum, height) => sum + height + GAP, 0))
  const total = tops.at(-1)! + heights.at(-1)! + BOTTOM
  const last = panels.length - 1
  return render(title, width, total, {
    title: [
      {
        text: title,
        subtext: subtitle,
        left: LEFT,
        top: 6,
        itemGap: 3,
        textStyle: { fontSize: 15, color: TEXT },
      },
      ...panels.map(({ name = '' }, i) => ({
        text: name,
        left: LEFT,
        top: tops[i]! - 26,
        textStyle: { fontSize: 12, color: TEXT },
      })),
    ],
    grid: panels.map((_, i) => ({ left: LEFT, right: RIGHT, top: tops[i]!, height: heights[i]! })),
    legend: panels.map(({ series }, i) => ({
      // Panels with the same lines have one legend.
      show: i === 0 || names(series) !== names(panels[0]!.series),
      data: [...new Set(series.map(({ name }) => name))],
      right: RIGHT,
      top: tops[i]! - 24,
      itemGap: 22,
      itemHeight: 8,
      itemWidth: 18,
      textStyle: { fontSize: 11, color: TEXT },
    })),
    xAxis: panels.map((_, i) => ({
      type: 'value',
      gridIndex: i,
      min: from,
      max: to,
      name: i === last ? label : '',
      nameLocation: 'middle',
      nameGap: 26,
      axisLabel: {
        show: i === last,
        color: TEXT,
        ...(columns === undefined ? {} : { formatter: (x: number) => columns[x] ?? '' }),
      },
      ...(columns === undefined ? {} : { interval: 0.5 }),
      axisTick: { show: columns === undefined },
      splitLine: { show: columns === undefined },
      nameTextStyle: { color: TEXT },
    })),
    yAxis: panels.map(({ label: name, rows, min = 0, max }, i) => ({
      type: 'value',
      gridIndex: i,
      name,
      nameLocation: 'middle',
      nameGap: 52,
      nameTextStyle: { color: TEXT },
      min: rows === undefined ? min : -0.5,
      max: rows === undefined ? (max ?? null) : rows.length - 0.5,
      interval: rows === undefined ? undefined : 0.5,
      axisLabel: {
        color: TEXT,
        ...(rows === undefined ? {} : { formatter: (y: number) => rows[y] ?? '' }),
      },
      splitLine: { show: rows === undefined },
      axisTick: { show: rows === undefined },
      axisLine: { onZero: false },
    })),
    series: panels.flatMap(({ series }, i) =>
      series.map(({ name, points, as = 'line', color, dashed = false, width: stroke, opacity = 1 }) => ({
        name,
        type: as === 'dots' ? 'scatter' : 'line',
        xAxisIndex: i,
        yAxisIndex: i,
        data: points.map(([x, y]) => [x, y ?? '-']),
        ...(as === 'step' ? { step: 'end' } : {}),
        showSymbol: false,
        symbolSize: stroke ?? 5,
        itemStyle: { color, opacity },
        lineStyle: { color, opacity, width: stroke ?? 1.5, type: dashed ? 'dashed' : 'solid' },
      })),
    ),
  })
}

function names(series: readonly Series[]): string {
  return series.map(({ name }) => name).join()
}

function render(title: string, width: number, height: number, option: object): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    chart.setOption({ animation: false, backgroundColor: '#ffffff', ...option })
    const svg = plain(chart.renderToSVGString())
    return `${svg.replace('>', () => `>\n<title>${escaped(title)}</title>`)}\n`
  } finally {
    chart.dispose()
  }
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}

/** Without what is for a pointer that hovers; names count from 0 here, and not on from the chart before. */
function plain(svg: string): string {
  const ids = new Map<string, string>()
  return svg
    .replace(/<style\b.*?<\/style>\n?/s, '')
    .replace(/ (?:class="zr\d+-cls-\d+"|pointer-events="visible")/g, '')
    .replace(/\bzr\d+-c\d+/g, (id) => {
      if (!ids.has(id)) ids.set(id, `c${ids.size}`)
      return ids.get(id)!
    })
}

/**
 * A line of many points thinned to what can be seen: of all that fall into one column of pixels the first, the
 * lowest, the highest and the last. Points must be in order of x.
 */
export function thin(points: readonly Point[], from: number, to: number, columns = 500): Point[] {
  const thinned: Point[] = []
  let column: Point[] = []
  let at = Number.NaN
  const end = (): void => {
    const values = column.filter(([, y]) => y !== null) as [number, number][]
    if (values.length === 0) thinned.push(...column.slice(0, 1))
    else {
      const low = values.reduce((a, b) => (b[1] < a[1] ? b : a))
      const high = values.reduce((a, b) => (b[1] > a[1] ? b : a))
      const kept = new Set<Point>([column[0]!, low, high, column.at(-1)!])
      thinned.push(...column.filter((point) => kept.has(point)))
    }
    column = []
  }
  for (const point of points) {
    const now = Math.floor(((point[0] - from) / (to - from)) * columns)
    if (now !== at && column.length > 0) end()
    at = now
    column.push(point)
  }
  if (column.length > 0) end()
  return thinned
}
