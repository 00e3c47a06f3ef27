/**
 * Bytes of a named pipe or of a shell's `<(…)`. Node's own file streams read in a thread that can't be interrupted while
 * nothing comes, and the process waits for it at its end.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Stream } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"

/** Waits for a writer. An interrupted open is released by a writer of our own. */
const open = <E>(path: string, onError: (error: unknown) => E) =>
  Effect.callback<number, E>((resume) => {
    let isGone = false
    fs.open(path, "r", (error, fd) => {
      if (error === null && isGone) fs.close(fd)
      resume(error === null ? Effect.succeed(fd) : Effect.fail(onError(error)))
    })
    return Effect.sync(() => {
      isGone = true
      fs.open(path, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK, (error, fd) => {
        if (error === null) fs.close(fd)
      })
    })
  })

export function read<E>(path: string, onError: (error: unknown) => E): Stream.Stream<Uint8Array, E> {
  return Stream.unwrap(
    Effect.map(open(path, onError), (fd) =>
      NodeStream.fromReadable<Uint8Array, E>({ evaluate: () => new net.Socket({ fd, writable: false }), onError })
    )
  )
}
