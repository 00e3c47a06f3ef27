/** What the page says about webhooks, and what its forms send. */
import { assert, it } from "@effect/vitest"
import type { Delivery, Health, Webhook } from "../../../../src/Web/Page/Webhooks/Model.ts"
import * as Wording from "../../../../src/Web/Page/Webhooks/Wording.ts"

const webhook: Webhook = {
  id: "ep_1",
  uid: "ada",
  url: "https://example.com/hook",
  types: ["*"],
  description: "",
  enabled: true,
  disabled_at: null,
  disabled_reason: null,
  audio_seconds: null,
  rate: null
}

const health: Health = {
  state: "healthy",
  success_rate: 1,
  p50_millis: 12,
  p95_millis: 2_400,
  pending: 0,
  next_attempt_at: null,
  failures: 0,
  failing_since: null
}

const delivery: Delivery = {
  event_id: "evt_1",
  type: "webhook.test",
  state: "pending",
  attempts: 1,
  status: 503,
  error: "the endpoint answered 503",
  created_at: "2026-11-29T12:00:00.000Z",
  next_attempt_at: null
}

it("says of a webhook that is off so, although it failed, and of one that is disabled why", () => {
  const failing = { ...health, state: "failing", failures: 3, failing_since: "2026-11-29T12:00:00.000Z" }
  const disabled = { ...webhook, disabled_at: "2026-11-29T12:00:00.000Z" }
  const titleOf = (of: Webhook, now: Health | undefined) => Wording.statusOf(of, now).title
  assert.strictEqual(titleOf(webhook, health), "Healthy")
  assert.strictEqual(titleOf(webhook, undefined), "Enabled")
  assert.strictEqual(titleOf(webhook, failing), "Failing")
  assert.match(Wording.statusOf(webhook, failing).reason, /^The latest 3 attempts failed, since .*2026/)
  assert.match(Wording.statusOf(webhook, { ...failing, failures: 1 }).reason, /^The latest attempt failed, since /)
  assert.strictEqual(titleOf({ ...disabled, enabled: false }, failing), "Off")
  assert.match(Wording.statusOf({ ...disabled, disabled_reason: "gone" }, failing).reason, /answered 410/)
  assert.match(Wording.statusOf({ ...disabled, disabled_reason: "failing" }, failing).reason, /probed once a day/)
})

it("allows tests and replays of webhooks that receive events, only", () => {
  assert.isTrue(Wording.isActive(webhook))
  assert.isFalse(Wording.isActive({ ...webhook, enabled: false }))
  assert.isFalse(Wording.isActive({ ...webhook, disabled_at: "2026-11-29T12:00:00.000Z" }))
})

it("rounds no failure and no success away", () => {
  assert.strictEqual(Wording.percent(1), "100 %")
  assert.strictEqual(Wording.percent(0.9999), "99.9 %")
  assert.strictEqual(Wording.percent(0.9), "90 %")
  assert.strictEqual(Wording.percent(0.00001), "0.1 %")
  assert.strictEqual(Wording.percent(0), "0 %")
})

it("shows the figures of a webhook with their units", () => {
  assert.strictEqual(Wording.latency(health), "12 ms, 95 % within 2.4 s")
  assert.strictEqual(Wording.latency({ ...health, p50_millis: null, p95_millis: null }), "–")
  assert.strictEqual(Wording.pending(9_999), "9,999")
  assert.strictEqual(Wording.pending(10_000), "10,000 or more")
  assert.strictEqual(Wording.typesOf(webhook), "All events")
  assert.strictEqual(
    Wording.typesOf({ ...webhook, types: ["audio.lost", "webhook.test"], audio_seconds: 5 }),
    "audio.lost, webhook.test; live audio in pieces of 5 s"
  )
})

it("says of a delivery how often it was attempted, how it ended and what follows", () => {
  assert.strictEqual(Wording.deliveryStatus(delivery).reason, "1 attempt · the endpoint answered 503")
  const next = { ...delivery, attempts: 2, next_attempt_at: "2026-11-29T12:05:00.000Z" }
  assert.match(Wording.deliveryStatus(next).reason, /^2 attempts · the endpoint answered 503 · next .*2026/)
  const delivered = { ...delivery, state: "delivered", status: 204, error: null }
  assert.deepStrictEqual(Wording.deliveryStatus(delivered), {
    kind: "good",
    title: "Delivered",
    reason: "1 attempt · answered 204"
  })
})

it("replays from the first minute to the end of the last one, in local time", () => {
  const form = { from: "2026-11-29T12:00", to: "2026-11-29T12:30", states: "dead,expired" }
  assert.deepStrictEqual(Wording.rangeOf(form), {
    from: new Date(2026, 10, 29, 12, 0).toISOString(),
    to: new Date(2026, 10, 29, 12, 31).toISOString(),
    states: ["dead", "expired"]
  })
  assert.strictEqual(Wording.rangeOf({ ...form, to: "2026-11-29T11:59" }), "The end is before the beginning.")
  assert.strictEqual(Wording.rangeOf({ ...form, from: "" }), "Enter both times.")
  const now = new Date(2026, 0, 2, 3, 4, 5)
  assert.strictEqual(Wording.localTime(now), "2026-01-02T03:04")
})

it("says how many deliveries a replay sends, and when there are more", () => {
  assert.strictEqual(
    Wording.counted({ deliveries: 1, is_complete: true }),
    "1 delivery would be sent again, 100 a second."
  )
  assert.match(Wording.counted({ deliveries: 10_000, is_complete: false }), /^10,000 deliveries .* There are more\.$/)
  assert.match(Wording.counted({ deliveries: 0, is_complete: true }), /^There is no such delivery/)
  assert.match(Wording.replaying({ deliveries: 10_000, is_complete: false }), /Repeat it for the others\.$/)
})

it("sends the fields of the form as the API names them, without those that are empty", () => {
  assert.deepStrictEqual(Wording.requestOf({ ...Wording.blank, url: " https://example.com/ ", rate: "5" }), {
    url: "https://example.com/",
    types: ["*"],
    description: "",
    audio_seconds: null,
    rate: 5
  })
  const changed = { ...webhook, audio_seconds: 3, description: "mine" }
  assert.deepInclude(Wording.requestOf(Wording.fieldsOf(changed)), {
    audio_seconds: 3,
    description: "mine",
    rate: null
  })
})

it("replaces all types by the first one that is chosen, and all that are chosen by all types", () => {
  const one = Wording.toggled(["*"], "audio.lost")
  assert.deepStrictEqual(one, ["audio.lost"])
  assert.deepStrictEqual(Wording.toggled(one, "webhook.test"), ["audio.lost", "webhook.test"])
  assert.deepStrictEqual(Wording.toggled(one, "*"), ["*"])
  assert.deepStrictEqual(Wording.toggled(one, "audio.lost"), [])
})
