/** The table of recordings, with its search. */
import { useEffect, useState } from "preact/hooks"
import { count } from "../Format.ts"
import { Alert } from "../Outcome.tsx"
import { useStore } from "../Store.ts"
import { VodRow } from "./VodRow.tsx"
import * as Vods from "./Vods.ts"

const statuses = [
  { value: "", title: "All" },
  { value: "ready", title: "Ready" },
  { value: "processing", title: "Processing" },
  { value: "pending", title: "Waiting" },
  { value: "failed", title: "Failed" },
  { value: "deleted", title: "Deleted" }
] as const

export function VodsPanel() {
  const { cursor, done, isLoading, message, problem, search, status, total, vods } = useStore(Vods.vods)
  const [text, setText] = useState("")
  useEffect(() => {
    const stop = new AbortController()
    void Vods.follow(stop.signal)
    return () => stop.abort()
  }, [])
  const isFiltered = search !== "" || status !== ""
  return (
    <section class="card" aria-labelledby="vods-title">
      <div class="row">
        <h3 id="vods-title">Recordings {total !== null && <span class="hint">{count(total)}</span>}</h3>
      </div>
      <form
        class="row"
        role="search"
        aria-label="Recordings"
        onSubmit={(event) => {
          event.preventDefault()
          Vods.find({ search: text.trim() })
        }}
      >
        <label for="vod-search" class="unseen">
          Search in titles and descriptions
        </label>
        <input
          id="vod-search"
          type="search"
          maxLength={200}
          placeholder="Search in titles and descriptions"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value)
            // The field's own button empties it.
            if (event.currentTarget.value === "" && search !== "") Vods.find({ search: "" })
          }}
        />
        <button type="submit" class="quiet">
          Search
        </button>
        <label for="vod-status">Status</label>
        <select id="vod-status" value={status} onChange={(event) => Vods.find({ status: event.currentTarget.value })}>
          {statuses.map(({ title, value }) => (
            <option key={value} value={value}>
              {title}
            </option>
          ))}
        </select>
      </form>
      <div role="status">
        {done !== "" && <p class="hint">{done}</p>}
        {vods === undefined && message === "" && <p class="hint">Waiting for the server …</p>}
        {vods?.length === 0 && cursor === null && (
          <p class="hint">{isFiltered ? "No recording matches." : "Each broadcast leaves a recording here."}</p>
        )}
      </div>
      <Alert>{[problem, message]}</Alert>
      {vods !== undefined && vods.length > 0 && (
        <table class="vods">
          <thead>
            <tr>
              <th scope="col">Title</th>
              <th scope="col">Stream</th>
              <th scope="col">Began</th>
              <th scope="col">Status</th>
              <th scope="col">Actions</th>
            </tr>
          </thead>
          <tbody>
            {vods.map((vod) => (
              <VodRow key={vod.id} vod={vod} />
            ))}
          </tbody>
        </table>
      )}
      {cursor !== null && (vods?.length ?? 0) < Vods.maxRows && (
        <button type="button" class="quiet older" disabled={isLoading} onClick={Vods.older}>
          Older recordings
        </button>
      )}
      {cursor !== null && (vods?.length ?? 0) >= Vods.maxRows && (
        <p class="hint">{count(Vods.maxRows)} recordings are shown. Search for older ones.</p>
      )}
    </section>
  )
}
