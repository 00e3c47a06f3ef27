/** `/v1/admin/deletions`. */
import { DateTime, Duration, Effect, Layer } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { requireScope } from "../Auth.ts"
import { Deletion, type Tombstone } from "../Deletion.ts"
import { Problem, ProblemRules } from "../Http.ts"
import { AdminApi, type DeletionInfo } from "./AdminApi.ts"

const defaultLimit = 100

const info = ({
  at,
  attempts,
  createdAt,
  generation,
  id,
  key,
  lastError,
  state,
  uid
}: Tombstone): typeof DeletionInfo.Type => ({
  id,
  key,
  generation,
  uid,
  state,
  at: DateTime.fromDateUnsafe(at),
  created_at: DateTime.fromDateUnsafe(createdAt),
  attempts,
  last_error: lastError ?? null
})

const notFound = Problem.notFound("There is no deletion with this id, or it is in progress.")

const group = HttpApiBuilder.group(
  AdminApi,
  "deletions",
  Effect.fn(function* (handlers) {
    const deletion = yield* Deletion
    const { answer } = yield* ProblemRules
    const admin = requireScope("admin")
    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query: { after, limit = defaultLimit, state = "pending", uid } }) {
        yield* admin
        const [backlog, dueTimes, page] = yield* answer(
          Effect.all([deletion.backlog, deletion.dueTimes, deletion.list({ state, uid, after, limit })], {
            concurrency: 3
          })
        )
        return {
          backlog: {
            pending: backlog.pending,
            due: backlog.due,
            oldest_due_seconds: Duration.toSeconds(backlog.oldestDue),
            due_within: dueTimes,
            dead: backlog.dead,
            deleted_by_node: yield* deletion.deleted
          },
          deletions: page.tombstones.map(info),
          next: page.next ?? null
        }
      }),
      retry: Effect.fnUntraced(function* ({ params: { id } }) {
        yield* admin
        if (!(yield* answer(deletion.retry(id)))) return yield* notFound
      }),
      cancel: Effect.fnUntraced(function* ({ params: { id } }) {
        yield* admin
        if (!(yield* answer(deletion.cancelById(id)))) return yield* notFound
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(AdminApi).pipe(Layer.provide(group))
