/**
 * What purges keep from being recorded again. A purge deletes what was recorded by a node that did not know that the purge was
 * finished: everything from before it, and what is captured, uploaded or recovered while it runs or later. `knownAt` is the
 * time up to which a node knew the purges, read from the database in the query that showed none for the conversation; so
 * neither the clocks of nodes nor the length of an outage matter.
 */
import { Effect, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"

type Sql = SqlClient.SqlClient

interface Name {
  readonly uid: string
  readonly conversation: string
}

/** The conversation or its account is purged, and the audio belongs to what is deleted. */
export class Purged extends Schema.TaggedError<Purged>()("Purged", {
  uid: Schema.String,
  conversation: Schema.String
}) {
  override get message() {
    return `conversation ${this.conversation} of ${this.uid} is deleted`
  }
}

/** A `knownAt` for what the same statement reads: milliseconds, rounded down. */
export function now(sql: Sql) {
  return sql`floor(extract(epoch from now()) * 1000)::float8`
}

/** A condition: a purge deletes what was recorded with this `knownAt`. */
export function isPurged(
  sql: Sql,
  { conversation, uid }: Name | { readonly uid: Statement.Fragment; readonly conversation: Statement.Fragment },
  knownAt: number | Statement.Fragment
) {
  const millis = typeof knownAt === "number" ? sql`${String(knownAt)}::float8` : knownAt
  return sql`exists (
    select from purges p
    where p.uid = ${uid} and (p.conversation_id = ${conversation} or p.conversation_id is null)
      and p.started_at is not null and (p.finished_at is null or p.finished_at > to_timestamp(${millis} / 1000))
  )`
}

/** When the last purge of a conversation ended, in milliseconds, rounded up: infinite while one runs, 0 without one. */
export function end(sql: Sql, uid: string | Statement.Fragment, conversation: string | Statement.Fragment) {
  const last = (which: Statement.Fragment) => sql`(
    select finished_at from purges
    where uid = ${uid} and ${which} and started_at is not null order by finished_at desc limit 1
  )`
  return sql`(
    select coalesce(max(coalesce(ceil(extract(epoch from p.finished_at) * 1000)::float8, 'infinity')), 0)
    from (${last(sql`conversation_id = ${conversation}`)} union all ${last(sql`conversation_id is null`)}) as p
  )`
}

/** Bits of the keys of advisory locks that tell this use from others. */
const lockSpace = 7_310

/**
 * Until the end of the transaction: no purge passes over a conversation that the transaction creates, whose row others don't
 * see yet. `isPurged` in a later statement is then right.
 */
export function lockCreation(sql: Sql, uid: string) {
  return sql`select pg_advisory_xact_lock_shared(${lockSpace}, hashtext(${uid}))`
}

/** As `lockCreation` for several users, always in the same order, so that no two transactions wait for each other. */
export function lockCreations(sql: Sql, uids: ReadonlyArray<string>) {
  return sql`
    select pg_advisory_xact_lock_shared(${lockSpace}, hash)
    from (select distinct hashtext(u) as hash from unnest(${uids}::text[]) as u order by hash) as hashes`
}

/** Waits for the transactions that create conversations of the user. Later ones see the purge. */
export function awaitCreations(sql: Sql, uid: string) {
  return Effect.asVoid(sql`select pg_advisory_xact_lock(${lockSpace}, hashtext(${uid}))`)
}

/** Until the end of the transaction, no other purge erases rows of the user. */
export function lockErasure(sql: Sql, uid: string) {
  return sql`select pg_advisory_xact_lock(${lockSpace + 1}, hashtext(${uid}))`
}
