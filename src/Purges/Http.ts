/** `DELETE /v1/conversations/{id}`, `/v1/users/{uid}` and `/v1/deletions/{job}`, and the lists of jobs. */
import { DateTime, Duration, Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { authorizeFor, Principal, requireScope } from "../Auth.ts"
import { Problem, ProblemRules } from "../Http.ts"
import { type Purge, Purges } from "../Purges.ts"
import type { Target } from "../Recording.ts"
import { type PurgeInfo, PurgesApi } from "./Api.ts"

const defaultLimit = 20

const timeOf = (date: Date | undefined) => (date === undefined ? null : DateTime.fromDateUnsafe(date))

const info = (purge: Purge): typeof PurgeInfo.Type => {
  const { bytes, chunks, conversations, keys, objects } = purge.counts
  return {
    job_id: purge.id,
    status: purge.state,
    uid: purge.uid,
    conversation_id: purge.conversation ?? null,
    requested_at: DateTime.fromDateUnsafe(purge.requestedAt),
    due_at: timeOf(purge.dueAt),
    started_at: timeOf(purge.startedAt),
    finished_at: timeOf(purge.finishedAt),
    attempts: purge.attempts,
    expected_chunks: purge.expected,
    deleted: { conversations, chunks, objects, bytes, keys },
    left_objects: purge.leftObjects ?? null,
    last_error: purge.lastError ?? null
  }
}

const noConversation = Problem.notFound("There is no conversation with this id.")
const noUser = Problem.notFound("There is no user with this id.")
const noJob = Problem.notFound("There is no deletion with this id.")

const hasStarted = Problem.conflict("deletion-started", "The deletion has started", "It can't be undone any more.")

const group = HttpApiBuilder.group(
  PurgesApi,
  "purges",
  Effect.fn(function* (handlers) {
    const purges = yield* Purges
    const { answer } = yield* ProblemRules

    const jobOf = Effect.fnUntraced(function* (id: string) {
      const { scopes, uid } = yield* Principal
      const found = yield* answer(purges.find(id))
      if (Option.isNone(found) || (found.value.uid !== uid && scopes.length === 0)) return yield* noJob
      return found.value
    })

    const request = Effect.fnUntraced(function* (target: Target, delay = 0) {
      const purge = yield* answer(purges.request(target, Duration.seconds(delay)))
      if (Option.isNone(purge)) return yield* target.conversation === undefined ? noUser : noConversation
      return info(purge.value)
    })

    return handlers.handleAll({
      conversation: Effect.fnUntraced(function* ({ params: { id }, query: { delay } }) {
        const { uid } = yield* Principal
        return yield* request({ uid, conversation: id }, delay)
      }),
      account: Effect.fnUntraced(function* ({ params: { uid } }) {
        yield* authorizeFor(uid)
        const account = yield* answer(purges.account(uid))
        if (Option.isNone(account)) return yield* noUser
        const { capturedSeconds, conversations, keys } = account.value
        return { uid, conversations, captured_duration: capturedSeconds, keys }
      }),
      user: Effect.fnUntraced(function* ({ params: { uid }, query: { delay } }) {
        yield* authorizeFor(uid)
        return yield* request({ uid, conversation: undefined }, delay)
      }),
      list: Effect.fnUntraced(function* ({ query: { after, all, limit = defaultLimit, state = "unfinished" } }) {
        const { uid } = yield* Principal
        if (all !== undefined) yield* requireScope("admin")
        const query = {
          uid: all === undefined ? uid : undefined,
          isDead: state === "dead",
          after,
          limit: limit + 1
        }
        const { at, purges: found } = yield* answer(purges.list(query))
        const page = found.slice(0, limit)
        const next = found.length > limit ? page.at(-1)?.id : undefined
        return { at: DateTime.fromDateUnsafe(at), deletions: page.map(info), next: next ?? null }
      }),
      job: Effect.fnUntraced(function* ({ params: { job } }) {
        return info(yield* jobOf(job))
      }),
      cancel: Effect.fnUntraced(function* ({ params: { job } }) {
        yield* jobOf(job)
        if (!(yield* answer(purges.cancel(job)))) return yield* hasStarted
        return info(yield* jobOf(job))
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(PurgesApi).pipe(Layer.provide(group))
