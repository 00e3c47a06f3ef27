/**
 * Reads a named pipe or a shell's `<(…)`. Node's file streams block a thread until data arrives, and that thread
 * keeps the process from exiting.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Stream } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"

/** Opening blocks until the pipe has a writer. Interruption opens the other end to unblock it. */
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
