/** Where merged audio files can be downloaded from the store, and the state of the others. */
import { Effect, Layer, Option } from "effect"
import { type Artifact, Artifacts, type ArtifactsPage, etagOf } from "../Playback.ts"
import { type RecordedFile, Recording } from "../Recording.ts"
import { Storage } from "../Storage.ts"

import { ArtifactRows, type ArtifactRow, maxFiles, urlLifetime } from "./ArtifactRows.ts"

/** Files of one conversation whose URL is signed, the latest ones; others are downloaded from this server. */
const maxSigned = 100

/** URLs that are signed at once. A store may ask for the object, or for the signature. */
const signedAtOnce = 8

const stateOf = ({ isWanted, reason }: ArtifactRow): Artifact | undefined => {
  if (reason !== null) return { state: "failed", reason }
  return isWanted ? { state: "merging" } : undefined
}

const make = Effect.gen(function* () {
  const rows = yield* ArtifactRows
  const recording = yield* Recording
  const storage = yield* Storage

  /** None if the store can't sign now; this server's own URL is as good. */
  const sign = (key: string) =>
    storage.signedUrl(key, { lifetime: urlLifetime }).pipe(
      Effect.map(({ url }) => url),
      Effect.catch((error) => Effect.as(Effect.logDebug("a URL could not be signed", error), undefined))
    )

  const merged = Effect.fnUntraced(function* (key: string, isSigned: boolean) {
    const artifact: Artifact = { state: "merged", url: isSigned ? yield* sign(key) : undefined }
    return artifact
  })

  return {
    of: Effect.fn("ArtifactUrls.of")(function* (uid: string, conversation: string, { format, ...page }: ArtifactsPage) {
      const known = new Map((yield* rows.list(uid, conversation, format)).map((row) => [row.file, row]))
      if (known.size === 0) return new Map<string, Artifact>()
      const found = yield* recording.files(uid, conversation, { ...page, files: maxFiles })
      const files = Option.match(found, { onNone: (): ReadonlyArray<RecordedFile> => [], onSome: ({ files }) => files })
      let left = maxSigned
      const states = yield* Effect.forEach(
        files.toReversed().flatMap((file) => {
          const row = known.get(file.id)
          return row === undefined ? [] : [{ file, row }]
        }),
        ({ file, row }) =>
          row.key !== null && row.fingerprint === etagOf(file, format)
            ? Effect.map(merged(row.key, left-- > 0), (artifact) => [file.id, artifact] as const)
            : Effect.succeed([file.id, stateOf(row)] as const),
        { concurrency: signedAtOnce }
      )
      return new Map(states.flatMap(([id, artifact]) => (artifact === undefined ? [] : [[id, artifact] as const])))
    })
  }
})

export const layer = Layer.effect(Artifacts, make)
