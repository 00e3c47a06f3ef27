/**
 * Typed events. A module defines the types of its events, and appends an event in the transaction of the change, so that one is
 * durable if and only if the other is. An event without a subscription is not stored.
 */
import { Clock, Context, DateTime, Duration, Effect, Layer, Queue, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { SqlClient, SqlError } from "effect/sql"
import { afterCommit } from "./Db.ts"

/** Larger payloads are sent in the form of `thin`. */
export const maxPayloadBytes = 256 * 1024

export interface EventType<A> {
  readonly name: string
  readonly description: string
  readonly data: Schema.Codec<A, A>
  /** An event that could not be delivered in this time is stale, and not sent any more. Without it, events do not expire. */
  readonly expiresAfter: Duration.Duration | undefined
  /** Data with a URL in place of what makes it large, for payloads over 256 KiB. */
  readonly thin: (data: A) => A
}

export interface Definition {
  readonly name: string
  readonly description: string
  readonly data: Schema.Top
  readonly expiresAfter: Duration.Duration | undefined
}

const defined = new Map<string, Definition>()

/** Adds a type when its module is loaded. */
export function define<A>({
  expiresAfter,
  thin = (data) => data,
  ...type
}: Pick<EventType<A>, "name" | "description" | "data"> & Partial<EventType<A>>): EventType<A> {
  const full = { ...type, expiresAfter, thin }
  defined.set(type.name, full)
  return full
}

/** All types by name, once the modules are loaded. */
export function definitions(): ReadonlyArray<Definition> {
  return [...defined.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** An event of a user. Appending it again has no effect. */
export interface Event {
  readonly id: string
  readonly type: string
  /** Its endpoints and those of all users receive the event. Empty: only the latter. */
  readonly uid: string
  readonly conversation: string | undefined
  readonly isErased: boolean
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number | undefined
  /** The payload: JSON. */
  readonly body: string
  /** The payload, encrypted for the user; stored in place of `body`. */
  readonly sealed: Uint8Array | undefined
}

interface Subject<A> {
  readonly uid: string
  readonly conversation?: string
  readonly data: A
  /** Whether the event is erased with the user or the conversation; by default it is. */
  readonly isErased?: boolean
}

/** Made before the transaction, so that a transaction that is retried appends it once. */
export function make<A>(
  type: EventType<A>,
  { conversation, data, isErased = true, uid }: Subject<A>
): Effect.Effect<Event> {
  return Effect.map(Clock.currentTimeMillis, (now) => {
    const timestamp = DateTime.formatIso(DateTime.makeUnsafe(now))
    const payload = (value: A) => JSON.stringify({ type: type.name, timestamp, data: value })
    const whole = payload(data)
    return {
      id: SecureRandom.uuidV7Unsafe(),
      type: type.name,
      uid,
      conversation,
      isErased,
      expiresAt: type.expiresAfter === undefined ? undefined : now + Duration.toMillis(type.expiresAfter),
      body: Buffer.byteLength(whole) > maxPayloadBytes ? payload(type.thin(data)) : whole,
      sealed: undefined
    }
  })
}

type Sql = SqlClient.SqlClient

export class Events extends Context.Service<
  Events,
  {
    /** Part of the caller's transaction: stores those to which endpoints are subscribed, with a delivery for each of these. */
    append(sql: Sql, events: ReadonlyArray<Event>): Effect.Effect<void, SqlError.SqlError>
    /** Those of the users whose events of the type an endpoint receives. */
    subscribed(
      sql: Sql,
      type: EventType<never>["name"],
      uids: ReadonlyArray<string>
    ): Effect.Effect<ReadonlySet<string>, SqlError.SqlError>
    /** Part of the caller's transaction: stores the event with a delivery for this endpoint only. */
    appendFor(sql: Sql, endpoint: string, event: Event): Effect.Effect<void, SqlError.SqlError>
    /** Waits, at most `limit`, until this node commits events, and returns the endpoints that receive them. */
    takeAppended(limit: Duration.Duration): Effect.Effect<ReadonlyArray<string>>
    /** The endpoints are returned by `takeAppended`. */
    wake(endpoints: ReadonlyArray<string>): void
  }
>()("spillway/Events") {
  static readonly layer = Layer.effect(
    Events,
    Effect.suspend(() => makeEvents)
  )
}

/** Endpoints that were not taken yet. At the bound, further ones are found by the search for due deliveries. */
const maxAppended = 10_000

const recordOf = ({ body, conversation, expiresAt, id, isErased, sealed, type, uid }: Event) => ({
  id,
  type,
  uid,
  owner: isErased && uid !== "" ? uid : null,
  conversation: isErased ? conversation : null,
  expires: expiresAt ?? null,
  size: sealed?.length ?? Buffer.byteLength(body),
  body: sealed === undefined ? body : null,
  sealed: sealed === undefined ? null : Buffer.from(sealed).toString("base64")
})

const given = (sql: Sql, events: ReadonlyArray<Event>) => sql`
  select * from json_to_recordset(${JSON.stringify(events.map(recordOf))}::json) as g(
    id uuid, type text, uid text, owner text, conversation text, expires float8, size int, body text, sealed text
  )`

const store = (sql: Sql) => sql`
  insert into events (id, type, uid, conversation_id, size, expires_at, body, sealed)
  select id, type, owner, conversation, size, to_timestamp(expires / 1e3), body, decode(sealed, 'base64')
  from given where id in (select id from target)
  on conflict (id) do nothing`

const deliver = (sql: Sql) => sql`
  insert into webhook_deliveries (event_id, endpoint_id, type, due_at)
  select id, endpoint_id, type, now() from target
  on conflict (event_id, endpoint_id) do nothing
  returning endpoint_id::text as endpoint`

interface Appended {
  readonly endpoint: string
}

const makeEvents = Effect.gen(function* () {
  const appended = new Set<string>()
  const signal = yield* Queue.sliding<void>(1)

  const wake = (endpoints: ReadonlyArray<string>) => {
    for (const endpoint of endpoints) if (appended.size < maxAppended) appended.add(endpoint)
    if (endpoints.length > 0) Queue.offerUnsafe(signal, undefined)
  }
  const wakeAfterCommit = (rows: ReadonlyArray<Appended>) =>
    rows.length === 0 ? Effect.void : afterCommit(() => wake(rows.map(({ endpoint }) => endpoint)))

  return Events.of({
    append: (sql, events) =>
      events.length === 0
        ? Effect.void
        : Effect.flatMap(
            sql<Appended>`
              with given as materialized (${given(sql, events)}), target as materialized (
                select g.id, g.type, s.endpoint_id from given g
                join webhook_subscriptions s on s.uid = any(array[g.uid, '']) and s.type = any(array[g.type, '*'])
              ), stored as (${store(sql)})
              ${deliver(sql)}`,
            wakeAfterCommit
          ),
    appendFor: (sql, endpoint, event) =>
      Effect.flatMap(
        sql<Appended>`
          with given as materialized (${given(sql, [event])}), target as materialized (
            select id, type, ${endpoint}::uuid as endpoint_id from given
          ), stored as (${store(sql)})
          ${deliver(sql)}`,
        wakeAfterCommit
      ),
    subscribed: (sql, type, uids) =>
      Effect.map(
        sql<{ readonly uid: string }>`
          select u.uid from unnest(${[...new Set(uids)]}::text[]) as u(uid)
          where exists (
            select from webhook_subscriptions s where s.uid = any(array[u.uid, '']) and s.type = any(array[${type}, '*'])
          )`,
        (rows) => new Set(rows.map(({ uid }) => uid))
      ),
    takeAppended: Effect.fnUntraced(function* (limit) {
      if (appended.size === 0) yield* Effect.timeoutOption(Queue.take(signal), limit)
      const taken = [...appended]
      appended.clear()
      return taken
    }),
    wake
  })
})
