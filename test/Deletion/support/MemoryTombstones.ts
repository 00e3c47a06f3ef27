/** Tombstones in memory, by the test's clock. */
import { Clock, Duration, Effect, Layer, Option } from "effect"
import * as Claims from "../../../src/Claims.ts"
import { anyGeneration, type DoomedObject, Tombstones } from "../../../src/Deletion/Tombstones.ts"

interface Row extends DoomedObject {
  readonly id: string
  due: number | undefined
  died: number | undefined
  attempts: number
  token: string | undefined
  lastError: string | undefined
  readonly created: number
}

const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const rows = new Map<string, Row>()
  let ids = 0
  let tokens = 0
  const now = () => clock.currentTimeMillisUnsafe()
  const nameOf = ({ generation, key }: Pick<DoomedObject, "key" | "generation">) => `${key} ${generation}`
  const isFree = (row: Row) => row.token === undefined || (row.due ?? 0) <= now()
  const byId = (id: string) => [...rows.values()].find((row) => row.id === id)
  const inOrder = (of: (row: Row) => number | undefined) =>
    [...rows.values()]
      .filter((row) => of(row) !== undefined)
      .sort((a, b) => (of(a) ?? 0) - (of(b) ?? 0) || Number(a.id) - Number(b.id))
  const owned = (token: string, ids: ReadonlyArray<string>) =>
    ids.flatMap((id) => {
      const row = byId(id)
      return row?.token === token ? [row] : []
    })
  const again = (id: string, act: (row: Row) => void) =>
    Effect.sync(() => {
      const row = byId(id)
      if (row === undefined || !isFree(row)) return false
      act(row)
      return true
    })

  return Tombstones.of({
    schedule: (objects, after, committed) =>
      Effect.andThen(
        Effect.sync(() => {
          for (const object of objects) {
            const known = rows.get(nameOf(object))
            const id = known?.id ?? String(++ids)
            const fresh = { died: undefined, attempts: 0, token: undefined, lastError: undefined }
            rows.set(nameOf(object), {
              ...object,
              id,
              due: now() + Duration.toMillis(after),
              ...fresh,
              created: known?.created ?? now()
            })
          }
        }),
        committed
      ),
    removeUnder: (prefix, limit) =>
      Effect.sync(() => {
        const under = [...rows.values()].filter(({ key }) => key.startsWith(prefix))
        const soon = now() + Duration.toMillis("1 hour")
        const found = under.filter(({ generation }) => generation !== anyGeneration).slice(0, limit)
        const early = under
          .filter(({ due = 0, generation }) => generation === anyGeneration && due > soon)
          .slice(0, limit)
        for (const row of found) rows.delete(nameOf(row))
        for (const row of early) row.due = soon
        return found.length + early.length
      }),
    cancel: (objects) =>
      Effect.sync(() => {
        const found = objects.flatMap((object) => rows.get(nameOf(object)) ?? []).filter(isFree)
        for (const row of found) rows.delete(nameOf(row))
        return found.length
      }),
    claim: (limit) =>
      Effect.sync(() => {
        const token = String(++tokens)
        const due = inOrder(({ due }) => due)
          .filter(({ due = 0 }) => due <= now())
          .slice(0, limit)
        for (const row of due) Object.assign(row, { token, due: now() + Duration.toMillis(Claims.lease) })
        const columns = ({ generation, key, uid }: Row) => ({ key, generation, uid })
        return { token, rows: due.map((row) => ({ id: row.id, attempts: row.attempts, columns: columns(row) })) }
      }),
    complete: (token, ids) =>
      Effect.sync(() => {
        const own = owned(token, ids)
        for (const row of own) rows.delete(nameOf(row))
        return own.length
      }),
    fail: (token, failures) =>
      Effect.sync(() => {
        let dead = 0
        const own = owned(
          token,
          failures.map(({ id }) => id)
        )
        for (const row of own) {
          const wait = Math.min(2 ** row.attempts, 3_600) * 1_000
          row.attempts++
          row.token = undefined
          row.lastError = failures.find(({ id }) => id === row.id)?.error
          const isDead = row.attempts >= Claims.maxAttempts
          row.due = isDead ? undefined : now() + wait
          row.died = isDead ? now() : undefined
          if (isDead) dead++
        }
        return { retried: own.length - dead, dead }
      }),
    extend: (token, ids) =>
      Effect.sync(() => {
        const own = owned(token, ids)
        for (const row of own) row.due = now() + Duration.toMillis(Claims.lease)
        return own.map(({ id }) => id)
      }),
    nextDue: Effect.sync(() =>
      Option.map(Option.fromUndefinedOr(inOrder(({ due }) => due)[0]), ({ due = 0 }) =>
        Duration.millis(Math.max(due - now(), 0))
      )
    ),
    list: ({ after, limit, state, uid }) =>
      Effect.sync(() => {
        const at = (row: Row) => (state === "dead" ? row.died : row.due)
        const all = inOrder(at).filter((row) => uid === undefined || row.uid === uid)
        const from = after === undefined ? 0 : all.findIndex((row) => `${at(row)}-${row.id}` === after) + 1
        const page = all.slice(from, from + limit)
        const last = all.length > from + limit ? page.at(-1) : undefined
        return {
          tombstones: page.map((row) => ({
            id: row.id,
            key: row.key,
            generation: row.generation,
            uid: row.uid,
            state,
            at: new Date(at(row) ?? 0),
            createdAt: new Date(row.created),
            attempts: row.attempts,
            lastError: row.lastError
          })),
          next: last === undefined ? undefined : `${at(last)}-${last.id}`
        }
      }),
    retry: (id) =>
      again(id, (row) => Object.assign(row, { due: now(), died: undefined, attempts: 0, token: undefined })),
    cancelById: (id) => again(id, (row) => rows.delete(nameOf(row))),
    backlog: Effect.sync(() => {
      const pending = inOrder(({ due }) => due)
      const due = pending.filter((row) => (row.due ?? 0) <= now())
      return {
        pending: pending.length,
        due: due.length,
        oldestDue: Duration.millis(due[0] === undefined ? 0 : now() - (due[0].due ?? 0)),
        dead: inOrder(({ died }) => died).length
      }
    }),
    dueTimes: Effect.sync(() => {
      const between = (after: Duration.Duration, until: Duration.Duration) =>
        inOrder(({ due }) => due).filter(
          ({ due = 0 }) => due > now() + Duration.toMillis(after) && due <= now() + Duration.toMillis(until)
        ).length
      return {
        minute: between(Duration.zero, Duration.minutes(1)),
        hour: between(Duration.minutes(1), Duration.hours(1)),
        day: between(Duration.hours(1), Duration.days(1)),
        later: between(Duration.days(1), Duration.infinity)
      }
    })
  })
})

export const layer = Layer.effect(Tombstones, make)
