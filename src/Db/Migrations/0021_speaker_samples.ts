/** Requests for speaker samples, the samples, and the turns of users who wait for some. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const speakerSamples = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // `request`: a digest of the segments. Neither due nor dead: with `key` the sample is stored, else it has ended with `outcome`.
  yield* sql`
    create table speaker_samples (
      id bigint generated always as identity primary key,
      uid text not null,
      person_id text not null,
      conversation_id text not null,
      request text not null,
      segments text[] not null,
      requested_at timestamptz not null default now(),
      due_at timestamptz,
      attempts integer not null default 0,
      token uuid,
      last_error text,
      dead_at timestamptz,
      ended_at timestamptz,
      outcome text,
      key text,
      is_encrypted boolean not null default false,
      bytes integer,
      seconds float8,
      unique (uid, person_id, conversation_id, request)
    )`
  yield* sql`create index speaker_samples_due_of_user on speaker_samples (uid, due_at, id) where due_at is not null`
  yield* sql`create index speaker_samples_due on speaker_samples (due_at) where due_at is not null`
  yield* sql`create index speaker_samples_old on speaker_samples ((greatest(ended_at, dead_at)), id) where due_at is null`
  yield* sql`create index speaker_samples_dead on speaker_samples (dead_at, id) where dead_at is not null`
  yield* sql`create index speaker_samples_of_user on speaker_samples (uid, id)`
  yield* sql`create index speaker_samples_of_person on speaker_samples (uid, person_id, id)`
  yield* sql`create index speaker_samples_of_conversation on speaker_samples (uid, conversation_id)`

  yield* sql`
    create table speaker_sample_turns (
      id bigint generated always as identity primary key,
      uid text not null unique,
      due_at timestamptz,
      attempts integer not null default 0,
      token uuid,
      last_error text,
      dead_at timestamptz
    )`
  yield* sql`create index speaker_sample_turns_due on speaker_sample_turns (due_at, id) where due_at is not null`
})
