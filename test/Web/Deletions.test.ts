/** `src/Web/Page/Deletions` in a real Chromium, on a real server and its database. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { embeddedDatabase } from "../support/EmbeddedDatabase.ts"
import { inspect } from "./support/Inspect.ts"
import { keyOf } from "./support/RecordPanel.ts"
import { ownSuite } from "./support/Suite.ts"

const here = ownSuite()

const query = <A>(run: (sql: SqlClient.SqlClient) => Effect.Effect<A, unknown>) =>
  SqlClient.SqlClient.use(run).pipe(Effect.provide(embeddedDatabase(here.dataDir)), Effect.runPromise)

const rows = (count: number) => `
  INSERT INTO tombstones (key, generation, uid, attempts, last_error, dead_at)
  SELECT 'chunks/ada/c/' || n || '.bin', '1', 'ada', 20, 'no permission', now() + n * interval '1 second'
  FROM generate_series(1, ${count}) n`

it("shows when deletions are due, and retries or cancels dead letters, which leave the list", async () => {
  await query((sql) =>
    Effect.gen(function* () {
      yield* sql.unsafe(rows(30))
      yield* sql`
        INSERT INTO tombstones (key, generation, uid, due_at)
        SELECT 'merged/ada/c/' || n || '.wav', '1', 'ada',
               now() + CASE WHEN n <= 7 THEN interval '30 minutes' ELSE interval '3 days' END
        FROM generate_series(1, 12) n`
    })
  )
  const { broken, context, page } = await here.open()
  await page.getByText("Connected", { exact: true }).waitFor()
  await page.getByRole("link", { name: "Live view" }).click()
  await page.getByRole("heading", { name: "Deletions 12 objects pending" }).waitFor()
  await page.getByRole("row", { name: "Within an hour 7" }).waitFor()
  await page.getByRole("row", { name: "Later 5" }).waitFor()
  await page.getByRole("row", { name: "Now 0" }).waitFor()
  await page.getByText(/^Rate of this node: [\d.]+ per second$/).waitFor()
  await page.getByText("Nothing is due").waitFor()
  await page.getByRole("heading", { name: "Dead letters 30" }).waitFor()
  const letters = page.locator(".dead li")
  assert.strictEqual(await letters.count(), 20)
  await page.getByRole("button", { name: "Show more" }).click()
  await letters.nth(29).waitFor()
  assert.strictEqual(await page.getByRole("button", { name: "Show more" }).count(), 0)
  assert.include(await letters.first().innerText(), "no permission")
  await inspect(page, "deletions")

  await page.getByRole("button", { name: "Keep chunks/ada/c/1.bin" }).click()
  await page.getByRole("heading", { name: "Dead letters 29" }).waitFor()
  await page.getByRole("button", { name: "Retry chunks/ada/c/2.bin" }).click()
  await page.getByRole("heading", { name: "Dead letters 28" }).waitFor()
  assert.notInclude(await page.locator(".dead").innerText(), "chunks/ada/c/1.bin")
  // The janitor deletes it; the object is gone already, which is a success.
  await page.getByRole("heading", { name: "Deletions 12 objects pending" }).waitFor()
  const [left] = await query(
    (sql) =>
      sql<{ count: number }>`SELECT count(*)::int AS count FROM tombstones WHERE uid = 'ada' AND dead_at IS NOT NULL`
  )
  assert.strictEqual(left?.count, 28)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("lists conversations and accounts whose deletion was given up, and retries it", async () => {
  await query(
    (sql) =>
      sql`
      INSERT INTO purges (id, uid, conversation_id, attempts, last_error, started_at, dead_at)
      VALUES (gen_random_uuid(), 'ada', 'talk', 20, '3 objects are left', now(), now()),
             (gen_random_uuid(), 'eve', null, 20, 'no permission', now(), now())`
  )
  const { broken, context, page } = await here.open()
  await page.getByText("Connected", { exact: true }).waitFor()
  await page.getByRole("link", { name: "Live view" }).click()
  const heading = (count: number) => `Conversations and accounts that could not be deleted ${count}`
  await page.getByRole("heading", { name: heading(2) }).waitFor()
  await page.getByText("3 objects are left").waitFor()
  await inspect(page, "given-up")
  await page.getByRole("button", { name: "Retry Conversation talk of ada" }).click()
  await page.getByRole("heading", { name: heading(1) }).waitFor()
  await page.getByRole("button", { name: "Retry User eve" }).click()
  await page.getByRole("heading", { name: /could not be deleted/ }).waitFor({ state: "detached" })
  const dead = await query((sql) => sql`SELECT 1 FROM purges WHERE dead_at IS NOT NULL`)
  assert.strictEqual(dead.length, 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says why an action fails", async () => {
  const { broken, context, page } = await here.open()
  await page.getByText("Connected", { exact: true }).waitFor()
  await page.getByRole("link", { name: "Live view" }).click()
  const button = page.getByRole("button", { name: "Retry chunks/ada/c/3.bin" })
  await button.waitFor()
  await query((sql) => sql`DELETE FROM tombstones WHERE key = 'chunks/ada/c/3.bin'`)
  await button.click()
  await page.getByRole("alert").filter({ hasText: "There is no deletion with this id" }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows users without the scope admin nothing of it", async () => {
  const { key } = await keyOf(here.server, "ada")
  const { broken, context, page } = await here.open({}, `#key=${key}`)
  await page.getByText("Connected", { exact: true }).waitFor()
  await page.getByRole("link", { name: "Live view" }).click()
  await page.getByText("A key with the scope admin or service also sees the bounds of the node.").waitFor()
  assert.strictEqual(await page.getByRole("heading", { name: /Deletions/ }).count(), 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})
