/** What was heard of a recording in the last 30 days. */
import { useEffect, useState } from "preact/hooks"
import { count, duration } from "../Format.ts"
import { Chart } from "../Live/Chart.tsx"
import { isAbort, messageFor } from "../Server.ts"
import type { Analytics, Vod } from "./Model.ts"
import { readAnalytics } from "./Vods.ts"

const daySeconds = 86_400

/** Days of the server are those of UTC. */
const dayForm = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" })
const dayOf = (at: number) => dayForm.format(new Date(at))

const percent = (part: number | null) => (part === null ? "–" : `${Math.round(part * 100)} %`)

export function AnalyticsPanel({ vod }: { readonly vod: Vod }) {
  const [analytics, setAnalytics] = useState<Analytics>()
  const [problem, setProblem] = useState("")
  useEffect(() => {
    const stop = new AbortController()
    readAnalytics(vod, stop.signal)
      .then(setAnalytics)
      .catch((cause: unknown) => {
        if (!isAbort(cause)) setProblem(messageFor(cause))
      })
    return () => stop.abort()
  }, [vod.id])
  if (problem !== "")
    return (
      <p class="problem" role="alert">
        {problem}
      </p>
    )
  if (analytics === undefined) return <p class="hint">Waiting for the server …</p>
  const { completion, days, unique_listeners, views, watch_seconds } = analytics
  const times = days.map(({ day }) => Date.parse(`${day}T00:00:00Z`) / 1_000)
  const chart = {
    times,
    span: 30 * daySeconds,
    tickSeconds: 7 * daySeconds,
    formatTime: dayOf,
    isBad: false,
    isBound: false
  }
  return (
    <section class="analytics" aria-label={`The last 30 days of ${vod.title}`}>
      <dl class="figures">
        <div>
          <dt>Views</dt>
          <dd>{count(views)}</dd>
        </div>
        <div>
          <dt>Listeners</dt>
          <dd>{count(unique_listeners)}</dd>
        </div>
        <div>
          <dt>Heard</dt>
          <dd>{duration(watch_seconds)}</dd>
        </div>
        <div>
          <dt>Heard to the end</dt>
          <dd>{percent(completion)}</dd>
        </div>
      </dl>
      <div class="charts">
        <Chart
          {...chart}
          title="Views a day"
          now={`${count(days.at(-1)?.views ?? 0)} today`}
          values={days.map(({ views }) => views)}
          format={count}
          top={4}
          isWhole
        />
        <Chart
          {...chart}
          title="Heard a day"
          now={`${duration(days.at(-1)?.watch_seconds ?? 0)} today`}
          values={days.map(({ watch_seconds }) => watch_seconds)}
          format={duration}
          top={60}
          isWhole={false}
        />
      </div>
      <details>
        <summary>As a table</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">Day (UTC)</th>
              <th scope="col">Views</th>
              <th scope="col">Listeners</th>
              <th scope="col">Heard</th>
            </tr>
          </thead>
          <tbody>
            {days.toReversed().map(({ day, unique_listeners, views, watch_seconds }) => (
              <tr key={day}>
                <th scope="row">{day}</th>
                <td>{count(views)}</td>
                <td>{count(unique_listeners)}</td>
                <td>{duration(watch_seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  )
}
