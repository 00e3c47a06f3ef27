/** Moderators, bans and timeouts of a chat, and its settings. */
import { useEffect, useState } from "preact/hooks"
import * as Chat from "../Chat/Model.ts"
import { moment } from "../Format.ts"
import type { Decoder } from "../Json.ts"
import { Outcome } from "../Outcome.tsx"
import { change, changeJson, fetchJson, isAbort, messageFor } from "../Server.ts"
import * as Model from "./Model.ts"

const permissions = [
  { name: "delete", title: "Delete messages" },
  { name: "timeout", title: "Time out users" },
  { name: "ban", title: "Ban users" },
  { name: "settings", title: "Change the settings" }
] as const

const pageSize = 50

interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly next: string | null
}

/** Pages of a list of users; `again` reads the first one. */
const useUsers = <A, P extends { readonly next: string | null }>(
  decoder: Decoder<P>,
  path: string,
  itemsOf: (page: P) => ReadonlyArray<A>,
  tell: (problem: string) => void
) => {
  const [page, setPage] = useState<Page<A>>({ items: [], next: null })
  const load = async (after: string | null, signal?: AbortSignal) => {
    try {
      const from = after === null ? "" : `&after=${encodeURIComponent(after)}`
      const found = await fetchJson(decoder, `${path}?limit=${pageSize}${from}`, signal)
      setPage(({ items }) => ({ items: [...(after === null ? [] : items), ...itemsOf(found)], next: found.next }))
    } catch (cause) {
      if (!isAbort(cause)) tell(messageFor(cause))
    }
  }
  useEffect(() => {
    const stop = new AbortController()
    void load(null, stop.signal)
    return () => stop.abort()
  }, [path])
  return { ...page, again: () => load(null), more: () => load(page.next) }
}

const Settings = ({
  act,
  path
}: {
  readonly path: string
  readonly act: (done: string, action: () => Promise<unknown>) => Promise<void>
}) => {
  const [settings, setSettings] = useState<{ readonly enabled: boolean; readonly slow: number }>()
  useEffect(() => {
    const stop = new AbortController()
    void act("", async () => {
      const { enabled, slow_mode_seconds } = await fetchJson(Chat.state, `${path}/settings`, stop.signal)
      setSettings({ enabled, slow: slow_mode_seconds })
    })
    return () => stop.abort()
  }, [path])
  if (settings === undefined) return null
  return (
    <form
      class="studio-form"
      aria-label="Chat settings"
      onSubmit={(event) => {
        event.preventDefault()
        const json = { enabled: settings.enabled, slow_mode_seconds: settings.slow }
        void act("The settings were changed.", () => changeJson(Chat.state, "PATCH", `${path}/settings`, json))
      }}
    >
      <label class="check">
        <input
          type="checkbox"
          checked={settings.enabled}
          onChange={(event) => setSettings({ ...settings, enabled: event.currentTarget.checked })}
        />
        Chat is on
      </label>
      <div class="row">
        <label class="check">
          Slow mode, seconds
          <input
            type="number"
            min={0}
            max={120}
            step={1}
            value={settings.slow}
            onInput={(event) => setSettings({ ...settings, slow: Math.round(event.currentTarget.valueAsNumber || 0) })}
          />
        </label>
        <button type="submit" class="quiet">
          Save settings
        </button>
      </div>
    </form>
  )
}

const ModeratorForm = ({ onAdd }: { readonly onAdd: (uid: string, chosen: ReadonlyArray<string>) => void }) => {
  const [uid, setUid] = useState("")
  const [chosen, setChosen] = useState<ReadonlyArray<string>>(["delete", "timeout"])
  return (
    <form
      class="studio-form"
      aria-label="New moderator"
      onSubmit={(event) => {
        event.preventDefault()
        if (uid.trim() === "") return
        onAdd(uid.trim(), chosen)
        setUid("")
      }}
    >
      <label for="moderator-uid">User</label>
      <input
        id="moderator-uid"
        autocomplete="off"
        spellcheck={false}
        maxLength={128}
        value={uid}
        onInput={(event) => setUid(event.currentTarget.value)}
      />
      <fieldset>
        <legend>May</legend>
        {permissions.map(({ name, title }) => (
          <label key={name} class="check">
            <input
              type="checkbox"
              checked={chosen.includes(name)}
              onChange={() =>
                setChosen(chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name])
              }
            />
            {title}
          </label>
        ))}
      </fieldset>
      <button type="submit" class="quiet">
        Add moderator
      </button>
    </form>
  )
}

const titleOf = (permission: string) => permissions.find(({ name }) => name === permission)?.title ?? permission

export function Moderation({
  sanctions,
  slug
}: {
  readonly slug: string
  /** Counts bans and timeouts that began or ended: each reads the list again. */
  readonly sanctions: number
}) {
  const path = Chat.pathOf(slug)
  const [done, setDone] = useState("")
  const [problem, setProblem] = useState("")
  const bans = useUsers(Model.bans, `${path}/bans`, ({ bans }) => bans, setProblem)
  const moderators = useUsers(Model.moderators, `${path}/moderators`, ({ moderators }) => moderators, setProblem)
  useEffect(() => {
    if (sanctions > 0) void bans.again()
  }, [sanctions])
  const act = async (done: string, action: () => Promise<unknown>) => {
    setDone("")
    setProblem("")
    try {
      await action()
      setDone(done)
    } catch (cause) {
      if (!isAbort(cause)) setProblem(messageFor(cause))
    }
  }
  const pathOf = (list: "bans" | "moderators", uid: string) => `${path}/${list}/${encodeURIComponent(uid)}`
  return (
    <section class="moderation" aria-label="Moderation">
      <Outcome done={done} problem={problem} />
      <Settings path={path} act={act} />
      <div class="row">
        <h4>Bans and timeouts</h4>
        <button type="button" class="quiet" onClick={() => void bans.again()}>
          Refresh
        </button>
      </div>
      {bans.items.length === 0 && <p class="hint">No user is banned or timed out.</p>}
      <ul aria-label="Bans and timeouts">
        {bans.items.map(({ banned_by, reason, uid, until }) => (
          <li key={uid} class="row">
            <bdi>{uid}</bdi>
            <span class="hint">
              {until === null ? "banned" : `timed out until ${moment(until)}`} by {banned_by}
              {reason !== "" && `: ${reason}`}
            </span>
            <button
              type="button"
              class="quiet"
              aria-label={`End the ${until === null ? "ban" : "timeout"} of ${uid}`}
              onClick={() =>
                void act(`${uid} may write again.`, async () => {
                  await change("DELETE", pathOf("bans", uid))
                  await bans.again()
                })
              }
            >
              End
            </button>
          </li>
        ))}
      </ul>
      {bans.next !== null && (
        <button type="button" class="quiet" onClick={() => void bans.more()}>
          More bans
        </button>
      )}
      <h4>Moderators</h4>
      {moderators.items.length === 0 && <p class="hint">There are no moderators. The owner moderates.</p>}
      <ul aria-label="Moderators">
        {moderators.items.map(({ permissions, uid }) => (
          <li key={uid} class="row">
            <bdi>{uid}</bdi>
            <span class="hint">{permissions.map(titleOf).join(", ")}</span>
            <button
              type="button"
              class="quiet"
              aria-label={`Remove the moderator ${uid}`}
              onClick={() =>
                void act(`${uid} is no moderator any more.`, async () => {
                  await change("DELETE", pathOf("moderators", uid))
                  await moderators.again()
                })
              }
            >
              Remove
            </button>
          </li>
        ))}
      </ul>
      {moderators.next !== null && (
        <button type="button" class="quiet" onClick={() => void moderators.more()}>
          More moderators
        </button>
      )}
      <ModeratorForm
        onAdd={(uid, chosen) =>
          void act(`${uid} is a moderator.`, async () => {
            await changeJson(Model.moderator, "PUT", pathOf("moderators", uid), { permissions: chosen })
            await moderators.again()
          })
        }
      />
    </section>
  )
}
