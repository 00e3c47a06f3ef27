/** Bounds of the access keys, and the preset admin key. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

/** 256 random bits in base64url. */
export const keyForm = /^spw_[A-Za-z0-9_-]{43}$/

const settings = {
  adminKey: Settings.optionalSecret(
    "SPILLWAY_ADMIN_KEY",
    "a key of Spillway's form: `spw_` and 43 letters, digits, - or _",
    (raw) => keyForm.test(raw),
    "The admin key. Set it to supply your own, for example from a secret manager, or to replace a lost one. It takes the place of the key that the first start creates in `<data dir>/admin-key`."
  ),
  maxKeys: Settings.integer(
    "SPILLWAY_MAX_KEYS",
    10_000,
    { min: 1, max: 1_000_000 },
    "Largest number of access keys. At the bound, revoked and expired keys are deleted; if there are none, a new key is rejected with 409. Raise it for more users."
  ),
  cacheEntries: Settings.constant(
    Settings.integer(
      "KEY_CACHE_ENTRIES",
      10_000,
      { min: 1, max: 1_000_000 },
      "Keys in the cache, unknown ones included; the least recently used one is evicted."
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
