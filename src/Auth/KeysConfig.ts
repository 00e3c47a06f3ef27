/** Bounds of the access keys, and the preset admin key. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  adminKey: Settings.optionalSecret(
    "SPILLWAY_ADMIN_KEY",
    "a key as Spillway makes them: `spw_` and 43 letters, digits, - or _",
    (raw) => /^spw_[A-Za-z0-9_-]{43}$/.test(raw),
    "The admin's key. Set it to choose the key yourself, for example from a secret manager, or to replace a lost one. It replaces the key that the first start makes and keeps in `<data dir>/admin-key`."
  ),
  maxKeys: Settings.integer(
    "SPILLWAY_MAX_KEYS",
    10_000,
    { min: 1, max: 1_000_000 },
    "Access keys in all. Raise it for more users than this. At the bound revoked and expired keys are forgotten; then creating one is refused with 409."
  ),
  cacheEntries: Settings.constant(
    Settings.integer(
      "KEY_CACHE_ENTRIES",
      10_000,
      { min: 1, max: 1_000_000 },
      "Keys remembered in memory, unknown ones included; the least recently used is looked up again."
    )
  ),
  cacheTime: Settings.constant(
    Settings.duration(
      "KEY_CACHE_TIME",
      "10 seconds",
      "Time that a key is cached. Another node may accept a key for this long after its revocation."
    )
  )
}

export class KeysConfig extends Context.Service<KeysConfig, Settings.Values<typeof settings>>()(
  "spillway/Auth/KeysConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
