/** The playback speed, kept in this tab until it is closed. */
import { Store } from "../Store.ts"

const item = "spillway-speed"

export const speeds: ReadonlyArray<number> = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]

const stored = Number(sessionStorage.getItem(item))

export const speed = new Store(speeds.includes(stored) ? stored : 1)

speed.watch(() => sessionStorage.setItem(item, String(speed.value)))

export function stepped(by: -1 | 1): number {
  return speeds[speeds.indexOf(speed.value) + by] ?? speed.value
}
